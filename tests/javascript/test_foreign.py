"""What is told at once not to be JavaScript, and what never is."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aca_node_interpreter.javascript.fences import Block, code_of
from aca_node_interpreter.javascript.foreign import refusal_of
from tests.javascript import npm_packages
from tests.machine import npm_install

# What was sent, and a word of what it is called.
FOREIGN = {
    "nothing": ("", "no code"),
    "blanks": (" \n\t\r\n", "no code"),
    "an empty block": ("```js\n```", "no code"),
    "an apology": ("I'm sorry, but I can't help with that.", "text"),
    "an answer": ("The answer is 42.", "text"),
    "several lines": ("Here is what I found:\n\n- The file has three columns\n- Two of them are empty\n", "text"),
    "with inline code": ("You can use `fs.readFileSync(x)` to read the file.", "text"),
    "with a link": ("See [the manual](https://nodejs.org/api/fs.html) for more about it.", "text"),
    "with brackets": ("There were three errors (all in the same file) so nothing was done.", "text"),
    "bold": ("**Note** this did not work as expected", "text"),
    "a plan": ("1. Read the file.\n2. Count the words.\n3. Print the result.", "text"),
    "German": ("Leider kann ich das nicht ausf\u00fchren.", "text"),
    "Chinese": ("\u5bf9\u4e0d\u8d77\uff0c\u6211\u65e0\u6cd5\u6267\u884c\u3002", "text"),
    "Python": ("import os\nimport sys\n\ndef main():\n    print('x')\n\nmain()", "Python"),
    "Python imports": ("import numpy as np\nprint(np.zeros(3))", "Python"),
    "Python from": ("from math import sqrt\nprint(sqrt(2))", "Python"),
    "Python loop": ("for x in range(3):\n    print(x)", "Python"),
    "Python condition": ("if x > 3:\n    print(x)\nelse:\n    print(3)", "Python"),
    "Python f-string": ("x = 3\nprint(f'{x}')", "Python"),
    "Python class": ("class A(B):\n    pass", "Python"),
    "Python loop on a line": ("for i in range(3): print(i)", "Python"),
    "Python list": ("x = [i * 2 for i in range(3)]\nprint(x)", "Python"),
    "Python 2": ("print 'x'", "Python"),
    "Python in its block": ("```python\nprint(1)\n```", "Python"),
    "shell": ("npm install axios", "shell"),
    "shell lines": ("$ mkdir -p out\n$ curl https://a.example/x \\\n    -o out/x\n# done\nnode out/x", "shell"),
    "shell pipe": ("cat file | grep x", "execSync"),
    "shell and": ("npm install x && node y.js", "shell"),
    "shell find": ("find . -name '*.js'", "shell"),
    "shell head": ("cd /mnt/data\nhead -5 data.csv", "shell"),
    "shell here-document": ("cat <<'EOF' > /mnt/data/a.js\nconst a = {\n  b: 1 }\nEOF\nnode a.js", "shell"),
    "shell here-document after the file": ("cat > /mnt/data/a.txt << EOF\nsome words in a row\nEOF", "shell"),
    "pip": ("pip install pandas", "execSync('...')"),
    "a notebook's shell": ("!pip install pandas", "shell"),
    "an installation": (
        "npm install axios",
        "has a network, use require('child_process').execSync('npm install axios')",
    ),
    "an installation in its block": ("```bash\n$ npm i -D @a/b@^1 c\n```", "execSync('npm i -D @a/b@^1 c')"),
    "an installation of much": ("npm install " + "a-package " * 90, "execSync('...')"),
    "shell script": ("#!/bin/bash\nset -e\nfor f in *; do echo $f; done", "shell"),
    "shell in its block": ("```bash\nls\n```", "shell"),
    "HTML": ("<!DOCTYPE html>\n<html><body>Hi</body></html>", "HTML"),
    "HTML piece": ('<div class="a"><p>Hi</p></div>', "HTML"),
    "XML": ('<?xml version="1.0"?>\n<a/>', "HTML or XML"),
    "SVG": ('<svg width="1"></svg>', "HTML or XML"),
    "SQL": ("SELECT name, count(*) FROM users WHERE id > 3", "SQL"),
    "SQL table": ("create table a (id int);", "SQL"),
    "PHP": ("<?php echo 1; ?>", "PHP"),
    "C": ("#include <stdio.h>\nint main() { return 0; }", "C"),
    "a diff": ("--- a/x.js\n+++ b/x.js\n@@ -1 +1 @@\n-a\n+b", "diff"),
    "a JSON document": ('{\n  "name": "a",\n  "version": "1.0.0"\n}', "JSON"),
    "a tool call": ('{"code": "console.log(1)"}', "JSON"),
    "a tool call with a name": ('{"name": "run", "arguments": {"code": "1"}}', "JSON"),
    "a tool call over lines": ('{"code": "const a = 1;\n\nconsole.log(a)"}', "send the code itself"),
    "a tool call with its input": ('{"type": "tool_use", "input": {"code": "1"}}', "send the code itself"),
    "a tool call of a function": ('{"function": {"name": "run", "arguments": "{}"}}', "send the code itself"),
    "a tool call in its tags": (
        '<tool_call>\n{"name": "run", "arguments": {"code": "1"}}\n</tool_call>',
        "send the code",
    ),
    "a thought without code": ("<think>I should say it.</think>\nThe answer is 42.", "text"),
    "JSON in its block": ('```json\n{"a": 1}\n```', "JSON"),
}

# What may be JavaScript: it runs, or V8 tells what is wrong.
JAVASCRIPT = {
    "array": "[1, 2, 3]",
    "array over lines": '[\n  {"a": 1},\n  {"a": 2}\n]',
    "object": '{"a": 1}',
    "object literal": "{a: 1}",
    "object literal over lines": "{\n  a: 1,\n  b: 2\n}",
    "string": '"I am a string"',
    "number": "42",
    "one word": "Hello",
    "directive": "'use strict'",
    "comment": "// This is a comment in words",
    "block comment": "/* This is a comment\n in words */",
    "template": "`This is a text\nin words`",
    "html in a template": "`<div>Hi there you</div>`",
    "generic arrow": "<T>(x: T) => x",
    "cast": "<any>x",
    "html comment": "<!-- a comment in words\nf()",
    "print": "print(1)",
    "python that parses": "x = 5\nprint(x)",
    "shell that parses": "ls -la",
    "a here-document that parses": "cat <<EOF > file\nhi\nEOF",
    "a list of tool calls": '[{"name": "run", "arguments": {"code": "1"}}]',
    "data called input": '{"input": [1, 2]}',
    "a command's name": "find\n- x",
    "label": "outer: for (const a of b) continue outer",
    "import": "import os from 'node:os'",
    "declaration": "let me",
    "shebang": "#!/usr/bin/env node\nf()",
    "shebang of a polyglot": "#!/bin/sh\n':' //; exec node \"$0\"\nf()",
    "a text that is a program": "export default async function main() {}",
    "words on lines": "a\nb\nc",
    "async arrow": "async x => await x",
    "in": "a in b",
    "instanceof": "a instanceof b",
}

# Slips in JavaScript, for V8.
SLIPS = {
    "no value": "const a = ;",
    "brace": "function f() {\n  return 1",
    "bracket": "console.log('a'",
    "quote": "console.log('a)",
    "keyword": "cosnt x = 1",
    "keyword alone": "retrun x",
    "comma": "f(a b)",
    "import without from": "import fs\nfs.readFileSync('a')",
    "import alone": "import os",
    "python-like if": "if (x) :\n  f()\nconsole.log(1)",
    "python-like def": "def f(x) {\n  return x\n}",
    "three words": "let x y z",
    "await": "await fetch 'x'",
    "new": "new Foo Bar Baz",
    "case": "case 1: f()",
    "export": "export default foo bar",
    "node": "node = 1 2",
    "shift": "x = cat << EOF 1",
    "find": "find items.length",
    "for in": "for (x in y {\n  f(x)\n}",
    "JSX": "const a = <div>Hi there you</div>;\nrender(<App x={1} />)",
    "JSON with a comment": '{\n  "a": 1, // one\n}',
    "object without a comma": "x = {\n  a: 1\n  b: 2\n}",
    "text and code": "Here is the code:\nconst a = 1;\nconsole.log(a)",
    "template": "`This is a text in words",
    "comment": "/* This is a text in words",
    "string": "'This is a text in words",
    "decorated": "@dec\nclass A { x }}",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_languages_are_told(name: str) -> None:
    text, word = FOREIGN[name]
    block = code_of(text)
    refusal = refusal_of(block.code, block.language)
    assert refusal is not None
    assert word in refusal.message
    assert len(refusal.message) < 250


@pytest.mark.parametrize("text", [*JAVASCRIPT.values(), *SLIPS.values()], ids=[*JAVASCRIPT, *SLIPS])
def test_javascript_is_not_refused(text: str) -> None:
    block = code_of(text)
    assert refusal_of(block.code, block.language) is None


@given(st.dictionaries(st.text(), st.integers() | st.text(), min_size=1))
def test_a_document_over_lines_is_json_and_one_line_is_a_literal(value: dict[str, int | str]) -> None:
    if not value.keys() & {"code", "javascript", "script", "arguments"}:
        assert refusal_of(json.dumps(value)) is None
    refusal = refusal_of(json.dumps(value, indent=1))
    assert refusal is not None
    assert "JSON" in refusal.message


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    refusal_of(text)


@given(st.lists(st.sampled_from([*JAVASCRIPT.values(), *SLIPS.values(), *(text for text, _word in FOREIGN.values())])))
def test_any_mixture_is_answered(texts: list[str]) -> None:
    refusal_of("\n".join(texts))


def test_no_file_of_a_package_is_refused_nor_taken_for_markdown_even_with_slips(tmp_path: Path) -> None:
    folder = npm_install(tmp_path, *npm_packages.TYPESCRIPT)
    rng = random.Random(4)  # noqa: S311
    files = [(path, text) for path, text in npm_packages.sources(folder, ".js", ".mjs", ".cjs") if len(text) < 30_000]
    slips = 0
    for path, text in files:
        assert code_of(text) == Block(text), path
        assert refusal_of(text) is None or not text.strip(), path
        tokens = re.findall(r"\w+|\s+|[^\w\s]", text)
        for _ in range(3):
            at = rng.randrange(len(tokens) or 1)
            slip = "".join(tokens[:at] + tokens[at + 1 :])
            slips += 1
            assert code_of(slip) == Block(slip), path
            assert refusal_of(slip) is None or not slip.strip(), path
    print(f"{len(files)} files, {slips} slips")
    assert len(files) > 300


@pytest.mark.parametrize(
    "unit",
    [
        "words in a row and more\n",
        "npm install x\n",
        "cat <<EOF > /a/b\n",
        "cat <<EOF > /a/b\nEOF\n",
        "def f(x):\n",
        "(",
        "a ",
        "word",
        "`a",
        "[a](",
        "def f(" + ")" * 400,
    ],
)
def test_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9e9
        for _ in range(3):
            started = time.process_time()
            refusal_of(text)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(400_000) < 12 * seconds(100_000) + 0.05
