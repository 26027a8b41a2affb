"""Types erased in place: as Node.js does it, and what can't be."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aca_node_interpreter.javascript.prepared import Refusal
from aca_node_interpreter.javascript.typescript import erase
from aca_node_interpreter.javascript.units import to_units
from tests.javascript import npm_packages
from tests.machine import npm_install

# Each is compared with what Node.js makes of it.
AS_NODE = (
    """
let x: number = 1, y!: string;
---
interface A { x: number }
(1)
---
let a = 1
interface A { x: number }
(1)
---
let a = 1
type B = { é: "日本", z: "😀" }
[1].x
---
const f = (x: number):
  number => x
---
const f = async <
  T
>(x: T): Promise<
 T> => x
---
const f = async <T,>(x: T) => x
---
const f = <T,>(x: T) => x, g = <T extends unknown>(x: T) => x, h = async<T>(x: T) => {}
---
function f() { return <T
>(x: T) => x }
---
function f() { return <T
>(x: T): void |
  Y  => x }
---
function* f() { yield <T
>(x: T) => x }
---
let a = <T
>(x: T) => x
---
x as any
(foo)
---
let z = x as any
;[1]
---
a = b as any
`x`
---
a = b as any as C
[1]
---
a satisfies B
(foo)
---
const s = x! + y!.z + (a as B).c + foo<string>(1) + new Foo<A, B>() + fo?.<T>(1)
---
a?.b!.c; a![0]!(); a!++; delete a!.b; b! = 3; (a as any) = 3
---
abstract class A<T> extends B<T> implements C, D { private readonly x: number = 1; declare y: string;
 static z?: number; constructor(); constructor(x?: number) { super() } abstract foo(): void;
 get<T>(): T { return 1 as T }
 [k: string]: any; private static override async *gen(this: A, x?: number): any {} }
---
abstract class A { abstract x: number
 abstract get y(): number; foo(): void; foo(x?: any) {} }
---
class A {
          x = 1
  y = 2 as any
  ['z'] = 3
  a: number
  [b] = 3
  c!: any
  *d() {}
  get: number
  x() {}
  static: any
  set?: any
  q
  private static y = 2
  private [x] = 3
  protected *y() {}
  readonly in = 3
  public async *z() {}
}
---
class A { static { let x: number = 1 } #p?: number; #q!: string; readonly #r = 1; async foo?<T>() {} }
---
class A { ;private x; public static y; static foo(): void
 static foo() {} }
---
class A extends B { static accessor x: number = 1; accessor y; declare readonly z: number; override bar?(): void {} }
---
class A { public(){}; private = 1; readonly; declare; override(){} get; set; async; public static }
---
class Box<in out T, const U, out V> { x: T }
---
import type { A } from 'a'; import { type B, C, type D as E } from 'b'; import type F from 'f'
export type { A }; export { type B, C }; export type * from 'x'; import { type Z } from 'z'
---
export type * as ns from 'x'
foo()
---
import { type A as B, type as C, type, type as as, type D } from 'x'
---
import type, { x } from 'y'
---
import type from 'y'
---
import { type X, } from 'y'; import {type X , Y} from 'z'
---
import { A } from 'only-used-as-a-type'; let a: A
---
import type x = require('y')
---
declare enum A { B }
---
declare const enum A { B }
---
namespace A { export type B = 1 }
---
export namespace Foo { export interface X {} }
---
declare module "x" { }
declare global { var x: number }
declare namespace N { const x: number; function f(): void }
---
function f(this: X, a: number): void
function f(this: X, a: number): void {}
---
function f(this: X) {}
---
function foo<T extends U = V>(x?: T, ...r: any[]): x is string { return x satisfies T }
---
const f = (x): asserts x is string => {}
---
export default interface A {}
foo()
---
export default abstract class A {}
---
export default class<T> {}
---
export interface A {}
export type B = A
export declare const x: number
export abstract class Q {}
---
export declare function f(): void
export function g(): void
export function g() {}
export default function h(): void
export default function h() {}
---
let x: typeof import('a') = 1; const y = {a: 1} as const
---
if (x) type A = 1
---
if (a) declare const x: any; else type B = 1
---
while (x) interface A {}
---
if (a) { interface X {} }
---
try {} catch (e: any) {}
---
let x = y as any as B, z = a satisfies B
---
throw x as any
---
function f() { return (a) as
  any }
---
let a = 5 as
  any
---
f<string>; const g = f<string>
---
let v = a < b > (d)
---
var a = {m<T>(this: X, a: number): void {}, get x(): number { return 1 }, async *g<T>() {}}
---
const o = { async f(this: X) {}, set a(v: number) {} , [k as any]: 1, x: <T>(y: T) => y}
---
using x: Foo = y
---
async function f() { await using x: Foo = y }
---
tag<T>`x`; tag<A, B>`x`; sql<A & B>`y`.z; sql<Array<{ a: string }>>`y`
---
let { a, b }: { a: number, b?: string } = c, [d]: any[] = e;
---
function f({ a }?: any, [b]?: any): void {}
---
type A = 1; (foo)
---
type A = typeof x
[1]
---
declare function f(): void; let x = 1
---
declare let x: number, y
let z
---
x = y as any ? 1 : 2
---
x = a ? (b): c => d : e
---
for (let i = 0 as number; i < (2 as any); i++) {}
---
(async () => { for await (const x of y as any) {} })()
---
const x = a as any as (x: number) => void; const y = a as { a: 1 }; const z = a as A | B && c
---
x as A.B.C[]; y as A.B.C | D; z as A.B.C<T>; (w as A.B.C).d; v as A.B.C.D.E ? 1 : 2; u as A.B.C & D.E.F
---
let as = self.x.y; let type: any = 1; type = 2; let declare, namespace, module, abstract
---
interface Call { (a: A): B
  <T>(a: T): C
  in: string }
---
let f: Callback<<T>(a: T) => void>, g: `a \\`${string}\\``
---
type Narrow<type> = type extends string ? type : never
---
type A = abstract new () => void; type B<T> = T extends infer U extends string ? U : never; let u: unique symbol
---
/** doc */ type A = 1 /* é */ | 2 // 日本
foo("é") as /* 😀 */ any
---
let a: A\r
type B = 1\r
let c: C\r
---
\tlet\ta\t:\tnumber\t=\t1
""".replace("\\r", "\r")
    .replace("\\t", "\t")
    .replace("\\\\", "\\")
)

# Node.js gives up on each of these too, or leaves it to V8; what we advise.
REFUSED = {
    "enum A { B }": "write `const Name = { First: 0, Second: 1 }`",
    "const enum A { B }": "an enum",
    "export enum A { B }": "an enum",
    "namespace A { export const B = 1 }": "a namespace",
    "namespace A.B { f() }": "a namespace",
    "class A { constructor(private x: number) {} }": "write `this.name = name`",
    "class A { constructor(readonly x: number) {} }": "parameter property",
    "class A { constructor(public x = 1) {} }": "parameter property",
    "class A extends B { constructor(override readonly x?: number) {} }": "parameter property",
    "let x = <any>y": "write `value as Type`",
    "import x = require('y')": "write `const x = require('x')`",
    "import x = A.B": "write `const name = Space.name`",
    "export import a = b.c": "import alias",
    "export = foo": "write `export default x`",
    "@dec class A {}": "a decorator",
    "class A { @dec x = 1 }": "a decorator",
    "class A { @dec() m(@p x) {} }": "a decorator",
}

# Node.js leaves these in pieces that do not mean what was written; we set a `;`.
SAFER = {
    "a as const\n(foo)": "a ;       \n(foo)",
    "class A {\n  x = 1\n  foo(): void\n  [y] = 2\n}": "class A {\n  x = 1\n  ;          \n  [y] = 2\n}",
    "class A {\n  x = 1\n  declare z: any\n  *y() {}\n}": "class A {\n  x = 1\n  ;             \n  *y() {}\n}",
}

_BLANKS = re.compile("[\u00a0\u2002\u2003\u3000\ufeff]")


def test_two_of_a_kind_in_a_line_are_told_once() -> None:
    refusal = erase("class A { constructor(public x: number, public y: number) {} }")
    assert isinstance(refusal, Refusal)
    assert refusal.message.count("parameter property") == 1


def alike(code: str) -> str:
    """Node.js fills with other blanks where there was no ASCII, to keep bytes; we keep UTF-16 units, as it does too."""
    return _BLANKS.sub(" ", code)


def test_snippets_are_erased_as_node_erases_them() -> None:
    snippets = AS_NODE.strip("\n").split("\n---\n")
    for snippet, (code, error) in zip(snippets, npm_packages.node_erases(snippets), strict=True):
        assert code is not None, (snippet, error)
        ours = erase(snippet, hinted=True) or snippet
        assert isinstance(ours, str)
        assert alike(ours) == alike(code)
        assert len(to_units(ours)) == len(to_units(snippet))


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_more_than_a_type_is_refused(code: str) -> None:
    refusal = erase(f"// first\n{code}")
    assert isinstance(refusal, Refusal)
    assert "Line 2: " in refusal.message
    assert REFUSED[code] in refusal.message
    stripped = npm_packages.node_erases([code])[0][0]
    assert stripped is None or "@" in stripped


def test_several_refusals_are_told_together() -> None:
    refusal = erase("enum A {}\n" * 5)
    assert isinstance(refusal, Refusal)
    assert re.findall(r"Line (\d)", refusal.message) == ["1", "2", "3"]
    assert "2 more" in refusal.message
    assert len(refusal.message) < 500


@pytest.mark.parametrize("code", SAFER)
def test_a_semicolon_stands_where_a_member_was(code: str) -> None:
    assert erase(code, hinted=True) == SAFER[code]


@pytest.mark.parametrize(
    "code",
    [
        "const a = 1",
        "let x = y\n(z)",
        "a ? b : c",
        "({ a: b, c: d })",
        "class A { x = 1; static y; get z() { return 1 } }",
        "label: for (;;) break label",
        "import a, { b as c } from 'd'; export { c as default }",
        "let type = 1, as = 2, declare, interface_",
        "f(a < b, c > d)",
        "`a ${b}`",
        "x = a => b",
        "function f()\nconsole.log(1)",  # A body was forgotten; no overload.
        "const a = ;",
        "f(a b)",
        "cosnt x = 1",
        "class A { f() }",
        "x = { a: 1 b: 2 }",
        "if (a { b() }",
        "I am sorry",
        "",
    ],
)
def test_javascript_and_its_slips_are_no_typescript(code: str) -> None:
    assert erase(code) in (None, code)


@pytest.mark.parametrize(
    ("code", "erased"),
    [
        ("const a: number = ;", "const a         = ;"),
        ("interface A { b: string }\nconst a: A = { b 1 }", " " * 25 + "\nconst a    = { b 1 }"),
        ("function f(a: number) {\n  return a +\n}", "function f(a        ) {\n  return a +\n}"),
    ],
)
def test_types_go_from_typescript_with_a_slip(code: str, erased: str) -> None:
    assert erase(code) == erased


def compare(folder: Path) -> Counter[str]:
    """Compare with Node.js over all TypeScript in a folder."""
    files = list(npm_packages.sources(folder, ".ts", ".mts", ".cts"))
    counts: Counter[str] = Counter()
    different: list[str] = []
    for at in range(0, len(files), 300):
        part = files[at : at + 300]
        for (path, text), (code, _error) in zip(part, npm_packages.node_erases([t for _p, t in part]), strict=True):
            ours = erase(text, hinted=True)
            if isinstance(ours, Refusal) or code is None:
                counts["both refuse" if code is None and isinstance(ours, Refusal) else "only one refuses"] += 1
                if code is not None or not isinstance(ours, Refusal):
                    different.append(path)
                continue
            mine, theirs = to_units(alike(ours or text)), to_units(alike(code))
            changed = [(a, b) for a, b in zip(mine, theirs, strict=True) if a != b] if len(mine) == len(theirs) else []
            if mine == theirs:
                counts["the same"] += 1
            elif changed and all(pair == (";", " ") for pair in changed):
                counts["the same with one more `;` before a class member"] += 1
            else:
                counts["different"] += 1
                different.append(path)
            # Whether it was called TypeScript makes no difference where the parser sees no error.
            plain = erase(text)
            counts["found to be TypeScript unasked" if plain == ours else "not found to be TypeScript unasked"] += 1
            assert erase(ours or text) in (None, ours or text), path
    print(f"{len(files)} files, {sum(len(text) for _path, text in files):,} characters: {dict(counts)}")
    assert not different, different
    return counts


def test_packages_are_erased_as_node_erases_them(tmp_path: Path) -> None:
    counts = compare(npm_install(tmp_path, *npm_packages.TYPESCRIPT))
    assert counts["the same"] > 250


@pytest.mark.long
@pytest.mark.timeout(600)
def test_more_packages_are_erased_as_node_erases_them(tmp_path: Path) -> None:
    counts = compare(npm_install(tmp_path, *npm_packages.MORE_TYPESCRIPT))
    assert counts["the same"] > 2_000


_PIECES = (
    "let a: A¦ = ¦1¦(¦)¦<T>¦<¦>¦=> ¦{¦}¦[¦]¦class A ¦private ¦x¦?¦:¦!¦ as ¦any¦\n¦;¦,¦interface I {}¦"
    "type B = ¦enum E {A}¦`¦${¦'¦/*¦*/¦//¦import type ¦from 'a'¦export ¦declare ¦abstract ¦é¦😀¦\u2028¦"
    "\r\n¦\\¦@d ¦async ¦namespace N {¦this: X¦return ¦readonly ¦static ¦in ¦out ¦using ¦accessor ¦.b.c¦"
    "\ud83d"
)
PIECES = st.sampled_from(_PIECES.split("¦"))


@given(st.lists(PIECES, max_size=24).map("".join), st.booleans())
def test_any_text_is_answered_with_its_own_lines_and_lengths(text: str, hinted: bool) -> None:
    code = erase(text, hinted=hinted)
    if isinstance(code, str):
        assert len(to_units(code)) == len(to_units(text))
        for ours, theirs in zip(to_units(code), to_units(text), strict=True):
            assert ours == theirs or (ours in " ;()" and theirs not in "\r\n\u2028\u2029")


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    erase(text, hinted=True)


UNITS = {
    "variables": "let a: number = 1 as any\n",
    "interfaces": "interface A { b: C }\n(1)\n",
    "classes": "class A<T> { private x: T; m?(a?: B): C { return a! } }\n",
    "members": None,
    "nested": "f(<T>(a: T) => ",
    "assertions": " as any",
    "names": " as a.b.c.d.e",
    "namespaces": "namespace A {",
    "errors": "let a: = <\n",
    "templates": "a>`b`\n",
    "comments": "/* a */\n",
    "enums": "enum A {}\n",
    "overloads": "function f(a: A): B\n",
}


def text_of_size(name: str, size: int) -> str:
    unit = UNITS[name]
    if unit is None:
        return "class A {" + "  private x: A\n  declare y: B\n  ['z']: C\n" * (size // 40) + "}"
    return ("x" if unit.startswith(" ") else "") + unit * (size // len(unit))


def seconds(text: str) -> float:
    best = 9e9
    for _ in range(2):
        started = time.process_time()
        erase(text, hinted=True)
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.parametrize("name", UNITS)
def test_time_is_linear(name: str) -> None:
    assert seconds(text_of_size(name, 240_000)) < 12 * seconds(text_of_size(name, 60_000)) + 0.05


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", UNITS)
def test_time_is_linear_up_to_megabytes(name: str) -> None:
    assert seconds(text_of_size(name, 2_500_000)) < 12 * seconds(text_of_size(name, 500_000)) + 0.05
