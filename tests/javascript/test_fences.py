"""Where the code is in what models send."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aca_node_interpreter.javascript.fences import Block, code_of, name_of
from aca_node_interpreter.javascript.units import to_units


def shown(block: Block) -> str:
    """The code without its blanks, lines as numbers."""
    lines = block.code.replace("\r\n", "\n").split("\n")
    return " | ".join(f"{number}:{line.strip()}" for number, line in enumerate(lines, 1) if line.strip())


# What was sent, what of it is code (with its lines), and what language the text names.
FENCED = {
    "plain": ("```js\nconst a = 1\n```", "2:const a = 1", "javascript"),
    "prose around": ("Sure, here's it:\n\n```js\na()\n```\n\nThat's `all`.", "4:a()", "javascript"),
    "prose that parses": ("Sure\n```js\na()\n```\nDone", "3:a()", "javascript"),
    "capital": ("```JavaScript\na()\n```", "2:a()", "javascript"),
    "title": ("```js title=a.mjs\na()\n```", "2:a()", "javascript"),
    "file name": ("```src/a.mjs\na()\n```", "2:a()", "javascript"),
    "colon": ("```js:app.js\na()\n```", "2:a()", "javascript"),
    "attributes": ("```{.js .numberLines}\na()\n```", "2:a()", "javascript"),
    "braces": ("```{js}\na()\n```", "2:a()", "javascript"),
    "lines": ("```js{1,3}\na()\n```", "2:a()", "javascript"),
    "language-": ("```language-js\na()\n```", "2:a()", "javascript"),
    "node.js": ("```node.js\na()\n```", "2:a()", "javascript"),
    "space before the name": ("``` js\na()\n```", "2:a()", "javascript"),
    "no language": ("```\na()\n```", "2:a()", ""),
    "text": ("```text\na()\n```", "2:a()", ""),
    "tildes": ("~~~js\na()\n~~~", "2:a()", "javascript"),
    "tildes around backticks": ("~~~js\nb = `x`\n~~~", "2:b = `x`", "javascript"),
    "tildes unclosed": ("~~~js\na()", "2:a()", "javascript"),
    "four around three": ("````js\n/*\n```\n*/\na()\n````", "2:/* | 3:``` | 4:*/ | 5:a()", "javascript"),
    "four closed by five": ("````js\na()\n`````", "2:a()", "javascript"),
    "markdown around": ("````markdown\nHi\n```js\na()\n```\n````", "4:a()", "javascript"),
    "markdown of three around": ("```markdown\nHi\n```js\na()\n```\n```", "4:a()", "javascript"),
    "in a list": ("1. Run:\n   ```js\n   a()\n   ```\n2. Done", "3:a()", "javascript"),
    "after a list mark": ("- ```js\n  a()\n  ```", "2:a()", "javascript"),
    "quoted": ("> ```js\n> a()\n>   b()\n> ```", "2:a() | 3:b()", "javascript"),
    "CRLF": ("Hi\r\n```js\r\na()\r\nb()\r\n```\r\n", "3:a() | 4:b()", "javascript"),
    "CR": ("```js\ra()\r```", "1:a()", "javascript"),
    "BOM": ("\ufeff```js\na()\n```", "2:a()", "javascript"),
    "spaces after the closing fence": ("```js\na()\n```   \nbye", "2:a()", "javascript"),
    "unclosed": ("Hi\n```js\na()\nb()", "3:a() | 4:b()", "javascript"),
    "closed on the last line": ("```js\na()```", "2:a()", "javascript"),
    "code after the fence": ("```console.log(1)\na()\n```", "1:console.log(1) | 2:a()", ""),
    "forgotten to close": ("```js\na()\n```js\nb()\n```", "2:a() | 4:b()", "javascript"),
    "two": ("```js\na()\n```\nand\n```js\nb()\n```", "2:a() | 6:b()", "javascript"),
    "two that would join": ("```js\na\n```\n```js\n(b)\n```", "2:a | 4:; | 5:(b)", "javascript"),
    "two languages": ("```js\na()\n```\n```ts\nlet b: any\n```", "2:a() | 5:let b: any", "typescript"),
    "shell between": ("```bash\nnpm install x\n```\n```js\na()\n```", "5:a()", "javascript"),
    "unnamed shell between": ("```\nnpm install x\n```\n```\na()\n```", "5:a()", ""),
    "output after": ("```js\na()\n```\nOutput:\n```\n42\n```", "2:a()", "javascript"),
    "named output after": ("```js\na()\n```\n```output\n42\n```", "2:a()", "javascript"),
    "JSON between": ("```js\na()\n```\n```json\n{}\n```\n```js\nb()\n```", "2:a() | 8:b()", "javascript"),
    "Python between": ("```python\na()\n```\n```js\nb()\n```", "5:b()", "javascript"),
    "only Python": ("Hi\n```python\nprint(1)\n```", "3:print(1)", "python"),
    "only shell": ("```sh\nls -la\n```", "2:ls -la", "sh"),
    "TypeScript": ("```ts\nlet a: any\n```", "2:let a: any", "typescript"),
    "tsx": ("```tsx\nlet a: any\n```", "2:let a: any", "typescript"),
    "unknown name": ("```whatever\na()\n```", "2:a()", ""),
    "fence in a comment": ("```js\n/*\n```\n*/\na()\n```", "2:/* | 3:``` | 4:*/ | 5:a()", "javascript"),
    "path with stars in the prose": ("Looks at src/*.js:\n```js\n/* x */ a()\n```", "3:/* x */ a()", "javascript"),
    "code that has a slip": ("Hi\n```js\nconst a = ;\n```", "3:const a = ;", "javascript"),
    "inline with a name": ("```js a()```", "1:a()", "javascript"),
    "inline of three": ("```a()```", "1:a()", ""),
    "inline of two": ("``a()``", "1:a()", ""),
    "inline of one": ("`console.log(1)`", "1:console.log(1)", ""),
    "language line": ("javascript\nconst a = 1", "2:const a = 1", "javascript"),
    "language line before a slip": ("javascript\nconst a = ;", "2:const a = ;", "javascript"),
    "language line before parentheses": ("js\n(async () => {})()", "2:(async () => {})()", "javascript"),
    "language line of TypeScript": ("TypeScript\nlet a: any", "2:let a: any", "typescript"),
    "a thought": ("<think>\nI add 1; see `a`\n</think>\n\na()", "5:a()", ""),
    "a thought with a block in it": ("<think>\n```js\nb()\n```\n</think>\n```js\na()\n```", "7:a()", "javascript"),
    "a thought that the template began": ("I add one to it.\n\n</think>\n\na()", "5:a()", ""),
    "an answer in its tags": ("<answer>\na()\n</answer>", "2:a()", ""),
    "a call in its tags": ("<tool_call>a()</tool_call><|im_end|>\n", "1:a()", ""),
    "a token before": ("<|python_tag|>a()\nb()", "1:a() | 2:b()", ""),
    "tokens of a turn": ("<|im_start|>assistant\na()<|im_end|></s>", "2:a()", ""),
    "a variable after a token": ("<|python_tag|>assistant.a()", "1:assistant.a()", ""),
    "a call with its parameter": ("<function=run>\n<parameter=code>\na()\n</parameter>\n</function>", "3:a()", ""),
    "a token after": ("a()<|im_end|>", "1:a()", ""),
    "a token after a fence": ("```js\na()\n```<|eot_id|>", "2:a()", "javascript"),
    "a thought before a slip": ("<think>x</think>\nconst a = ;", "2:const a = ;", ""),
    "emoji in the prose": ("\U0001f600 here:\n```js\na('\U0001f600')\n```", "3:a('\U0001f600')", "javascript"),
}  # fmt: skip

# Programs, which stay as they are.
CODE = {
    "plain": "const a = 1",
    "template": "const a = `x ${b} y`",
    "escaped fence in a template": "const md = `\\`\\`\\`js\nx()\n\\`\\`\\``\nconsole.log(md)",
    "tildes in a template": "const md = `# A\n~~~js\nx()\n~~~\n`",
    "fence in a comment": "/*\n```js\nx()\n```\n*/\ny()",
    "fence in a doc comment": "/**\n * ```js\n * x()\n * ```\n */\ny()",
    "fence in a comment, and a slip": "/**\n```js\nx()\n```\n*/\ny( =",
    "fence in line comments": "// ```js\n// x()\n// ```\ny()",
    "fence in a string": "const md = '```js\\n' + code + '\\n```'",
    "fence in a continued string": "const md = 'a\\\n```js\\\nx()\\\n```'",
    "fence in a template without backslashes": "const md = `# A\n```js\nx()\n```\n`;\nconsole.log(md)",
    "generated markdown": "console.log('```' + 'js')\nconsole.log('```')",
    "js_value": "js_value\n+ 1",
    "javascript": "javascript",
    "node": "node",
    "node.js chain": "node\n  .children\n  .map(x => x)",
    "node assigned": "node\n= 5",
    "js used": "js\njs.foo()",
    "ts label": "ts: for (;;) break ts",
    "a template alone": "`hello`",
    "a template with a hole": "`${f(1)}`",
    "prose": "I am sorry, I can't do that.",
    "tildes": "a = ~~~b",
    "tagged": "html`<b>`",
    "a token in a string": "const end = '<|im_end|>'",
    "a token in a comment": "a() // <|im_end|>",
    "a tag in a template": "const s = `\n<think>a</think>\n`",
    "a tag on a template's line": "const s = `some words in a row\n</think>`",
    "a tag in a comment": "a /* some words in a row\n</think> */",
    "a tag in a comment, and a slip": "/* some words in a row\n</think> */\na( =",
    "a tag in a string": "a ? 'some words in a row </think>' : b",
    "JSX": "const a = <code>x</code>",
    "a generic arrow": "<T>(answer: T) => answer",
    "empty": "",
    "comment only": "// nothing",
}  # fmt: skip


@pytest.mark.parametrize("name", FENCED)
def test_the_code_of_a_fenced_text(name: str) -> None:
    text, expected, language = FENCED[name]
    block = code_of(text)
    assert (shown(block), block.language) == (expected, language)
    assert len(to_units(block.code)) == len(to_units(text))


@pytest.mark.parametrize("name", CODE)
def test_code_is_left_alone(name: str) -> None:
    assert code_of(CODE[name]) == Block(CODE[name])


def test_columns_stay() -> None:
    text = "\U0001f600\n1. ```js\n    throw a\n    ```\n\ttail"
    assert code_of(text).code == "  \n        \n    throw a\n       \n\t    "


def test_a_quote_is_blanked_to_its_columns() -> None:
    assert code_of("> ```js\n>  a()\n> ```").code == "       \n   a()\n     "


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ("", ""),
        (" js ", "js"),
        ("{.js}", "js"),
        ("js,ignore", "js"),
        ("c++", "c++"),
        ("title=a.mjs", "mjs"),
        ("Py", "py"),
    ],
)
def test_the_name_in_a_fence(info: str, name: str) -> None:
    assert name_of(info) == name


_LINES = (
    "```¦```js¦````¦~~~¦~~~ts¦```bash¦> ```¦  ```¦/*¦*/¦`a`¦a()¦let b: any¦- ¦Hello there you¦(c)¦\U0001f600¦'¦\\¦¦"
    "javascript¦```x```¦```y¦<think>¦</think>¦<|im_end|>"
)
MARKDOWN = st.lists(st.sampled_from(_LINES.split("¦")) | st.text(max_size=8), max_size=16).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\r", "\u2028"]).map(lambda end: end.join(lines))
)


@given(MARKDOWN)
def test_lines_and_lengths_are_those_of_the_text(text: str) -> None:
    code = code_of(text).code
    assert len(to_units(code)) == len(to_units(text))
    for ours, theirs in zip(to_units(code), to_units(text), strict=True):
        assert ours == theirs or (ours in " ;" and theirs not in "\r\n\u2028\u2029")


@given(MARKDOWN)
def test_what_was_found_is_code_the_next_time(text: str) -> None:
    code = code_of(text).code
    again = code_of(code).code
    assert len(to_units(again)) == len(to_units(code))


@pytest.mark.parametrize(
    "unit",
    [
        "```js\na()\n```\n",
        "prose `x` and more\n",
        "```\n",
        "~~~\n",
        "/*\n```\n",
        "`",
        "```js\n",
        "> ```\n",
        "1. ",
        "a(b)\n",
        "\n",
        "<think>",
        "<think>\n</thinking>\n",
        "<code> ",
        "some words in a row\n</think>\n",
    ],
)
def test_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = ("" if "<" in unit else "```js\n") + unit * (size // len(unit))
        best = 9e9
        for _ in range(3):
            started = time.process_time()
            code_of(text)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(400_000) < 12 * seconds(100_000) + 0.05
