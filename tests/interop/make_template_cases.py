# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/unit/text/template-cases.h: small templates with what jinja2 makes of them, set up as
transformers does. The test of the template interpreter expects the same.

Usage: make_template_cases.py [--check TEMPLATE-DRIVER] > template-cases.h
"""
import json
import os
import sys
import time

from compare_templates import NOW, Driver, FixedDate
from transformers.utils import chat_template_utils

VARIABLES = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello <b>\"you\"</b>", "tags": ["x", "y"]},
        {"role": "user", "content": "Bye", "n": 3},
    ],
    "names": ["bob", "Alice", "carol"],
    "numbers": [3, 1, 2],
    "d": {"b": 1, "a": [1, 2.5, None, True], "items": "key", "é": "ü"},
    "s": "  some text\n",
    "u": "Grüße 你好 🎉",
    "n": None,
    "big": 1000000000000000019884624838656,
    "f": 0.1,
    "i": -7,
    "yes": True,
    "html": "<a href='x'>&</a>",
    "nested": [{"a": {"b": [10, 20]}, "k": "one"}, {"a": {"b": [30, 40]}, "k": "two"}],
    "empty": [],
    "bos_token": "<s>",
}

# White space and structure
CASES = """
{{ 1 }}\\n
a\\n{% if true %}\\nb\\n{% endif %}\\nc\\n\\n
  {% if true %}x{% endif %}  \\n  y
a  {%- if true -%}  b  {%- endif -%}  c
a\\n  {%+ if true %}\\nb{% endif +%}\\nc
{{- 1 -}}  \\n  {{ 2 }}
a {# comment #}\\nb{#- x -#}  \\n c
  {# c #}\\nx
a\\n\\t {# c +#}\\nx
{% raw %}{{ x }} {% y %}{% endraw %}z
a\\n  {% raw %}\\n  {{ x }}\\n  {% endraw %}\\nz
{%- raw -%}  {{ x }}  {%- endraw -%}  z
{%raw%}{# x #}{%endraw%}
\\r\\na\\rb\\r\\nc\\r\\n
x{{ '}}' }}{{ "%}" }}y
{{ {'a': {'b': 1}}['a']['b'] }}
{% if x %}{% else %}
{% endif %}
{{ 'a' 'b' "c" }}
{{ 'it\\\\'s' }}{{ "tab\\\\tnew\\\\nback\\\\\\\\x\\\\x41\\\\u00e9\\\\101\\\\q" }}
{{ 'line\\\\\\ncontinued' }}
{{ '\\\\é' }}
{{ 'é🎉'|length }}{{ "\\\\U0001F389" }}
{% print 1, 'a' %}
{%if yes%}1{%endif%}
{{1+1}}{{-1}}
{{ yes if yes }}{{ 1 if not yes }}|
{# unclosed
{{ unclosed
{% raw %}
{{ 'unclosed }}
{{ (1 }}
{{ 1) }}
{{ $ }}
{% unknown %}
{% for x in %}{% endfor %}
{% endfor %}
{% for x in [1] %}
{{ a b }}
{{ }}
{{ 1 + }}
{% set 1 = 2 %}
{% set true = 2 %}
{% break %}
{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{{ "\\\\x4" }}
{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 12_3.4_5 }}
{{ 007 }}
{{ 1.5.x }}
{{ d.a.0 }}{{ d.a.1 }}
# Statements
{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ m.role }}{{ ", " if not loop.last }}{% endfor %}
{% for x in numbers %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for x in numbers %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}
{% for x in numbers %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}
{% for x in [] %}x{% else %}none{% endfor %}
{% for x in numbers if x > 1 %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}
{% for x in numbers if x > 9 %}{{ x }}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in ['xy'] %}{{ b }}{{ a }}{% endfor %}
{% for c in u %}{{ c }}.{% endfor %}
{% for x in undefined_thing %}x{% else %}empty{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for x in numbers %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}
{% for x in numbers %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}{{ x }}
{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{{ x }}{{ y }} {% if y == 3 %}{% continue %}{% endif %}{% break %}{% endfor %}{{ loop.index }};{% endfor %}
{% for x in [[1, [2]], [3]] recursive %}{% if x is iterable %}({{ loop(x) }}{{ loop.depth }}){% else %}{{ x }}{% endif %}{% endfor %}
{% for x in [1] %}{{ loop([2]) }}{% endfor %}
{% for x in range(3) %}{{ x }}{% endfor %}{% for x in range(5, 1, -2) %}{{ x }}{% endfor %}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% for i in [1, 2] %}{% if i == 1 %}{% set z = i %}{% endif %}{{ z }}|{% endfor %}
{% for i in [1, 2] %}{{ z }}{% set z = i %}{{ z }}|{% endfor %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a = 1, 2 %}{{ a }}
{% set ns = namespace(x=1, found=false) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.found }}{{ ns.nope is defined }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}{{ ns }}
{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a + ns.b }}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set ns = namespace(_x=1) %}
{% set d.x = 1 %}
{% set q.x = 1 %}
{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]{{ x is string }}
{% set x | upper | trim %} block {% endset %}[{{ x }}]
{% set x %}{% set inner = 3 %}{{ inner }}{% endset %}{{ x }}{{ inner }}
{% if n %}a{% elif yes %}b{% else %}c{% endif %}
{% if n %}a{% elif n %}b{% else %}c{% endif %}
{% if 1, 2 %}t{% endif %}
{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(b=5, a=4) }}|{{ m(1, c=9) }}
{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m(x) %}{{ x }}{% if x > 0 %}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% macro m() %}{{ late }}{% endmacro %}{% set late = 'v' %}{{ m() }}
{% macro m(a, b=1, c) %}{% endmacro %}
{% macro outer() %}{% set v = 1 %}{% macro inner() %}{{ v }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ v }}
{% macro m() %}x{% endmacro %}{{ m() ~ m() }}{{ m()|upper }}{{ m() is string }}{{ m }}
{% macro m(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call m('b') %}in {{ yes }}{% endcall %}
{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro m() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ m() }}
{% for i in [1, 2] %}{% macro m() %}{{ i }}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}
{% filter upper %}abc {{ 'x' }}{% endfilter %}
{% filter upper | replace('A', 'b') | trim %} abc {% endfilter %}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}
{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a }}
{% generation %}a{{ 1 }}{% endgeneration %}b
{% generation %}{% set g = 1 %}{% endgeneration %}{{ g }}
{% for i in [1] %}{% generation %}{{ loop.index }}{% endgeneration %}{% endfor %}
{% for i in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% do 1 %}
# Expressions
{{ 1 + 2 * 3 ** 2 - 4 / 2 }}{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 % -3 }}
{{ 2 ** 3 ** 2 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 10 / 4 }} {{ 4 / 2 }}
{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }} {{ 1e300 * 1e10 }} {{ -0.0 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1.0 // 0 }}
{{ 0 ** -1 }}
{{ 0.1 + 0.2 }} {{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-5 }} {{ 0.0001 }} {{ 123456789.123 }} {{ f }}
{{ true + true }} {{ true == 1 }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ none == false }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 != 1 }}
{{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1,) < (1, 0) }} {{ 'é' > 'z' }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ 'a' in 'abc' }} {{ 1 in [1] }} {{ 'b' in d }} {{ 'x' not in d }} {{ 2 in range(3) }} {{ '' in 'a' }} {{ none in [n] }}
{{ 1 in 'abc' }}
{{ 1 in 5 }}
{{ 'a' in undefined_thing }}
{{ not true }} {{ not not 1 }} {{ true and 'x' }} {{ '' or 'y' }} {{ none and 1 }} {{ 0 or none }}
{{ not 1 == 2 }} {{ 1 or 2 and 0 }} {{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] }}
{{ 1 ~ 2 + 3 }}
{{ 1 + 2 ~ 3 }}
{{ 1 ~ 2 * 3 }} {{ 'a' + 'b' * 3 }} {{ [1] * 2 + [3] }} {{ (1,) + (2,) }} {{ 3 * 'x' }} {{ 'x' * -1 }}|
{{ 'a' + 1 }}
{{ 1 + none }}
{{ [] + () }}
{{ -'a' }}
{{ +5 }}{{ - -5 }}{{ -true }}{{ +true }}
{{ 'a|b'|upper ~ 'c' }} {{ -1|abs }} {{ 1 + 2|string|length }}
{{ 1 if yes else 2 }} {{ (1 if n else 2) }} {{ 1 if n else 2 if n else 3 }}
{{ (1 if n).x }}
{{ [1, 2, 3,] }} {{ (1,) }} {{ () }} {{ (1, 2) }} {{ {} }} {{ {'a': 1, 2: [none, true], (1, 2): 'x',} }}
{{ {[1]: 2} }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'x', true: 'y', 1.0: 'z'} }}
{{ ['a', "it's", 'q"q', 'both\\\\'"', '\\\\n\\\\t\\\\\\\\', 'é', '\\\\x07', '\\\\u200b', '\\\\xa0', '🎉'] }}
{{ d }} {{ names }} {{ n }} {{ yes }} {{ big }} {{ [big, f, i] }}
{{ [undefined_thing, 1] }} {{ {'a': undefined_thing} }}
{{ d.keys() }} {{ d.values() }} {{ {'x': 1}.items() }} {{ range(3) }} {{ range(1, 7, 2) }}
{{ d.b }} {{ d['b'] }}
{{ d['items'] }} {{ d.nope }}|{{ d['nope'] }}|{{ d.get('nope') }} {{ d.get('nope', 5) }} {{ d.get('b', 5) }}
{{ d.é }} {{ d['é'] }}
{{ nope }}|{{ nope is defined }}
{{ nope.x }}
{{ nope['x'] }}
{{ nope() }}
{{ nope + 1 }}
{{ d.nope.x }}
{{ d.nope[0] }}
{{ nope == nope2 }} {{ nope == none }} {{ nope ~ 'x' }} {{ nope in [1] }} {{ not nope }}
{{ nope < 1 }}
{{ names[0] }} {{ names[-1] }} {{ names[5] }}| {{ names['x'] }}| {{ u[1] }} {{ u[-1] }} {{ (1, 2)[1] }} {{ range(5)[2] }}
{{ names[0:2] }} {{ names[::-1] }} {{ names[-2:] }} {{ names[:-1] }} {{ u[2:-2] }} {{ u[::-1] }} {{ u[::2] }} {{ 'abc'[5:] }}| {{ (1, 2, 3)[1:] }}
{{ 'abcdef'[4:1:-1] }} {{ 'abcdef'[-100:100] }} {{ [1, 2, 3, 4][3:0:-2] }} {{ [1, 2][none:1] }} {{ range(10)[2:8:3] }}
{{ 'abc'[::0] }}
{{ names['a':] }}
{{ d[0:1] }}|
{{ nested[0].a.b[1] }} {{ nested[1]['a'].b.0 }}
{{ messages[1].tags[0] }} {{ messages[-1].n + 1 }}
{{ u[1:nope] }}
{{ ('x'|safe).join(['<', 1]) }}
{{ 'abc'.nope }}|{{ names.append is defined }}|{{ names.append }}|
{{ names.append(1) }}
{{ d.update({}) }}
{{ names.pop() }}
{{ ''.__class__ }}|
{{ ''.__class__.mro }}
{{ 5() }}
{{ 'a'() }}
{{ [1, 2].index(2) }} {{ [1, 1].count(1) }} {{ (1, 2).index(1) }} {{ [1].copy() }} {{ d.copy() == d }}
{{ [1].index(5) }}
{{ dict(a=1, b=2) }} {{ dict({'a': 1}, a=2) }} {{ dict([('x', 1), ['y', 2]]) }} {{ dict(**d) == d }}
{{ dict([1]) }}
{{ '{}-{}'.format(*[1, 2]) }} {{ '%s' % (1,) }}
{{ range(3, **{'x': 1}) }}
{{ 'abc'.replace('a', 'b', 1) }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '-') }}
{{ x.y if x is defined }}|
{{ 1 is odd and 2 is even }}
{{ none is none is true }}
{{ 1000000007 * 1000000007 }}
{{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }}
# String methods
{{ s.strip() }}|{{ s.lstrip() }}|{{ s.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ '\\\\u00a0x\\\\u2003'.strip() }}|{{ 'é-é'.strip('é') }}
{{ 'a b  c'.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a b '.split(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'aXXbXXc'.split('XX') }}
{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(maxsplit=1) }} {{ 'a b c'.rsplit() }}
{{ 'a'.split('') }}
{{ '<think>x</think>y'.split('</think>')[-1].lstrip('\\\\n') }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('bc') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith('b', 0, 2) }} {{ 'a'.startswith('') }}
{{ 'abc'.startswith(1) }}
{{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('x') }} {{ '你好好'.find('好') }} {{ 'abcabc'.find('c', 3) }} {{ 'abc'.index('b') }} {{ 'aaaa'.count('aa') }} {{ 'abc'.count('') }}
{{ 'abc'.index('x') }}
{{ 'hello world'.title() }} {{ "they're bill's".title() }} {{ 'HELLO wORLD'.capitalize() }} {{ 'Hello'.swapcase() }} {{ 'ß'.upper() }} {{ 'ΑΣ ΣΑΣ'.lower() }} {{ 'İ'.lower()|length }} {{ 'straße'.title() }}
{{ 'Ärger ÉTÉ'.lower() }} {{ 'ärger'.upper() }} {{ 'Straße'.casefold() }} {{ 'ǆ'.title() }} {{ 'éa'.capitalize() }} {{ 'ﬁx'.upper() }}
{{ '-'.join(['a', 'b']) }} {{ ''.join([]) }}| {{ ','.join('abc') }} {{ ', '.join(d.keys()) }}
{{ '-'.join([1]) }}
{{ 'ab'.center(6) }}|{{ 'ab'.center(7, '*') }}|{{ 'abc'.center(6, '*') }}|{{ 'a'.ljust(3, '.') }}|{{ 'a'.rjust(3) }}|{{ '-5'.zfill(4) }}|{{ 'abc'.zfill(2) }}
{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'abc'.rpartition('-') }}
{{ 'prefix_x'.removeprefix('prefix_') }} {{ 'x.py'.removesuffix('.py') }} {{ 'x'.removesuffix('') }}
{{ 'a\\\\nb\\\\r\\\\nc\\\\n'.splitlines() }} {{ 'a\\\\nb'.splitlines(true) }} {{ 'a\\\\x0bb\\\\u2028c'.splitlines() }}
{{ 'abc'.isalpha() }} {{ '12'.isdigit() }} {{ '1a'.isalnum() }} {{ ' '.isspace() }} {{ ''.isspace() }} {{ 'Ab'.isupper() }} {{ 'ab1'.islower() }} {{ 'é'.isascii() }} {{ '½'.isnumeric() }} {{ '½'.isdigit() }}
{{ '{} {} {{}}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{name}!'.format(name='n') }} {{ '{!r} {!s}'.format('a', 'b') }}
{{ '{} {}'.format(1) }}
{{ '{'.format() }}
{{ '%s and %s' % ('a', 1) }} {{ '%d%%' % 5 }} {{ '%5d|%-5d|%05d|%+d' % (1, 2, 3, 4) }} {{ '%.2f' % 3.14159 }} {{ '%x %X %o %#x' % (255, 255, 8, 255) }} {{ '%r' % ('a',) }} {{ '%(a)s' % {'a': 1} }} {{ '%s' % [1] }} {{ '%e' % 12345.678 }} {{ '%g' % 0.00001 }} {{ '%.3s|%5s|%-5s|' % ('abcdef', 'é', 'x') }} {{ '%*d' % (4, 7) }}
{{ '%s %s' % 'a' }}
{{ '%s' % (1, 2) }}
{{ '%d' % 'a' }}
{{ '%' % 1 }}
{{ 'abc'.upper(1) }}
# Filters
{{ s|trim }}|{{ 'xax'|trim('x') }}|{{ 5|trim }}|{{ none|trim }}|{{ nope|trim }}|
{{ 'abc'|length }} {{ names|count }} {{ d|length }} {{ u|length }} {{ nope|length }} {{ range(4)|length }} {{ d.items()|length }}
{{ 5|length }}
{{ none|length }}
{{ (names|map('upper'))|length }}
{{ names|join(', ') }} {{ numbers|join }} {{ [1, none, true]|join('-') }} {{ nested|join(',', attribute='k') }} {{ 'abc'|join('.') }} {{ d|join('+') }}
{{ names|first }} {{ names|last }} {{ empty|first }}| {{ empty|last }}| {{ 'abc'|first }}{{ 'abc'|last }} {{ d|first }} {{ d|last }}
{{ 5|first }}
{{ (names|map('upper'))|last }}
{{ d|tojson }} {{ names|tojson }} {{ html|tojson }} {{ u|tojson }} {{ n|tojson }} {{ [1.0, 1e20, 1e-7, true]|tojson }} {{ '\\\\x07\\\\x7f/\\\\\\\\"'|tojson }}
{{ d|tojson(indent=2) }}
{{ {'a': [], 'b': {}, 'c': [[1]]}|tojson(indent=4) }}
{{ [1, [2]]|tojson(indent='--') }} {{ u|tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ {'a': [1, 2]}|tojson(separators=(',', ':')) }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }}
{{ [1, 2]|tojson(indent=0) }} {{ (1, 2)|tojson }} {{ u|tojson(true) }} {{ big|tojson }}
{{ nope|tojson }}
{{ d.items()|tojson }}
{{ range(2)|tojson }}
{{ {(1, 2): 3}|tojson }}
{{ nope|default('x') }} {{ none|default('x') }} {{ none|default('x', true) }} {{ ''|d('y', boolean=true) }} {{ nope|default }}| {{ d.x|default(d.b) }}
{{ 'abc'|upper }} {{ 'ABC'|lower }} {{ 'hello-world (foo) bar_baz <x'|title }} {{ 'hELLO wORLD'|capitalize }} {{ 5|upper }} {{ none|lower }} {{ 'ß x'|title }}
{{ 'aXbXc'|replace('X', '-') }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 15|replace(5, 6) }} {{ 'a'|replace('', '-') }}
{{ 5|string ~ 'x' }} {{ [1]|string|length }} {{ none|string }}
{{ '42'|int }} {{ '42.9'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 4.9|int }} {{ -4.9|int }} {{ true|int }} {{ none|int }} {{ '0x1f'|int(0, 16) }} {{ '101'|int(base=2) }} {{ ' 5_0 '|int }} {{ 'inf'|int(3) }} {{ []|int(2) }}
{{ nope|int }}
{{ '1.5'|float }} {{ 'x'|float }} {{ 3|float }} {{ none|float(2.5) }} {{ '1e3'|float }} {{ 'nan'|float }} {{ '-inf'|float }} {{ '0x10'|float }} {{ '1_0.5'|float }}
{{ 'abc'|list }} {{ range(3)|list }} {{ d|list }} {{ nope|list }} {{ d.items()|list }} {{ (1, 2)|list }}
{{ 5|list }}
{{ names|map('upper')|join(',') }} {{ nested|map(attribute='k')|list }} {{ nested|map(attribute='a.b.1')|list }} {{ messages|map(attribute='n', default=0)|list }} {{ names|map('replace', 'b', 'x')|list }} {{ messages|map(attribute='n')|list }}
{{ names|map|list }}
{{ names|map('nofilter')|list }}
{{ names|map(attribute='x', y=1)|list }}
{{ [1]|map(attribute='x.y')|list }}
{{ numbers|select('odd')|list }} {{ numbers|reject('odd')|list }} {{ [0, 1, '', 'a']|select|list }} {{ numbers|select('gt', 1)|list }} {{ numbers|select('>=', 2)|list }} {{ numbers|reject('equalto', 2)|list }} {{ numbers|select('in', [1, 5])|list }} {{ empty|select('nothing')|list }}
{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list }} {{ messages|rejectattr('role', 'eq', 'user')|list|length }} {{ messages|selectattr('n')|list|length }} {{ messages|selectattr('n', 'defined')|list|length }} {{ nested|selectattr('a.b.0', 'lt', 20)|map(attribute='k')|first }}
{{ numbers|select('nothing')|list }}
{{ messages|selectattr|list }}
{{ (messages|selectattr('role', 'equalto', 'none'))|list|length }}{{ 'truthy' if messages|selectattr('role', 'equalto', 'none') }}
{% set g = names|map('upper') %}{{ g|list }}{{ g|list }}
{% set g = names|map('upper') %}{{ g|first }}{{ g|join }}
{{ numbers|sort }} {{ numbers|sort(reverse=true) }} {{ names|sort }} {{ names|sort(case_sensitive=true) }} {{ nested|sort(attribute='k', reverse=true)|map(attribute='k')|list }} {{ 'bca'|sort }} {{ messages|sort(attribute='role')|map(attribute='content')|list }} {{ messages|sort(attribute='role,content')|map(attribute='content')|list }}
{{ [1, 'a']|sort }}
{{ [(1, 'b'), (0, 'z'), (1, 'a')]|sort(attribute='0')|list }} {{ [(1, 'b'), (0, 'z'), (1, 'a')]|sort(reverse=true, attribute=0) }}
{{ ['a', 'B', 'A', 'b']|unique|list }} {{ [1, 1.0, true, 2]|unique|list }} {{ ['a', 'A']|unique(true)|list }} {{ messages|unique(attribute='role')|map(attribute='content')|list }}
{{ numbers|reverse|list }} {{ 'abc'|reverse }} {{ u|reverse }} {{ d|reverse|list }}
{{ d|items|list }} {{ nope|items|list }} {{ {'b': 2, 'A': 1, 'c': 0}|dictsort }} {{ {'b': 2, 'A': 1}|dictsort(true) }} {{ {'b': 2, 'A': 1}|dictsort(by='value') }} {{ {'b': 2, 'A': 1}|dictsort(reverse=true) }}
{{ [1]|items|list }}
{{ {'a': 1}|dictsort(by='x') }}
{{ {'a': 1, 2: 3}|dictsort }}
{{ 'a\\\\nb\\\\n\\\\nc'|indent }} {{ 'a\\\\nb'|indent(2, true) }} {{ 'a\\\\n\\\\nb'|indent(2, blank=true) }} {{ 'a\\\\nb'|indent('> ') }} {{ 'a\\\\nb\\\\n'|indent(first=true) }}| {{ ''|indent(2, true) }}|
{{ 5|indent }}
{{ html|e }} {{ html|escape }} {{ html|safe }} {{ html|safe|e }} {{ ('<'|safe) + '<' }} {{ '<' + ('<'|safe) }} {{ ('<'|safe) ~ '<' }} {{ 'a'|safe|upper + '<' }} {{ ('<b>'|e)|forceescape }} {{ 5|e }}
{{ [html|safe] }} {{ ('<'|safe) * 2 + '>' }} {{ ('a<'|safe)[1:] + '>' }} {{ ['<'|safe, '<']|join }} {{ '-'.join(['<'|safe]) }} {{ ('x'|safe).replace('x', '<') }} {{ 'x'|safe is escaped }} {{ 'x'|safe == 'x' }} {{ {'x': 1}['x'|safe] }} {{ ('a\\\\nb'|safe)|indent(1) }}
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 1234.5|round(-2) }} {{ 2.1|round(method='ceil') }} {{ 2.9|round(0, 'floor') }} {{ 5|round }} {{ 1.005|round(2) }} {{ 42.55|round(1) }} {{ -2.5|round|int }} {{ 2.123|round(2, 'ceil') }}
{{ 'a'|round }}
{{ 2.5|round(0, 'x') }}
{{ -5|abs }} {{ i|abs }} {{ -1.5|abs }} {{ true|abs }}
{{ 'a'|abs }}
{{ numbers|sum }} {{ [0.1, 0.2]|sum }} {{ [[1], [2]]|sum(start=[]) }} {{ [{'p': 2}, {'p': 3}]|sum(attribute='p') }} {{ empty|sum }} {{ [true, 2]|sum(start=10) }}
{{ names|sum }}
{{ numbers|min }} {{ numbers|max }} {{ names|min }} {{ names|max(case_sensitive=true) }} {{ empty|max }}| {{ nested|max(attribute='k') }} {{ [1, 1.0]|max }}
{{ range(5)|batch(2)|list }} {{ range(5)|batch(2, 'x')|list }} {{ range(5)|slice(2)|list }} {{ range(5)|slice(2, 'x')|list }} {{ range(1)|slice(3)|list }}
{% for role, group in messages|groupby('role') %}{{ role }}:{{ group|map(attribute='content')|join('+') }};{% endfor %}
{% for k, g in ['b', 'A', 'a', 'B']|groupby(0) %}{{ k }}{{ g }};{% endfor %}
{{ 'abc'|center(7) }}| {{ 'x %s y %d'|format('a', 5) }} {{ '%(a)s'|format(a=1) }} {{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true, leeway=0) }} {{ 'foo bar'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '…', 0) }}
{{ [1]|truncate(5) }} {{ nope|truncate(5) }}|
{{ [] in d }}
{{ d.get([]) }}
{{ 'x' % nope }}{{ 'x' % range(2) }}{{ ('<'|safe)|list }}
{{ 'a b-c d_e'|wordcount }} {{ 'a b/é?&='|urlencode }}
{{ 'x'|nofilter }}
{{ 'x'|upper(1) }}
{{ 'x'|default(nope=1) }}
{{ 'x'|replace('a') }}
{{ 'x'|upper|lower|title ~ 'y'|upper }}
{{ [3, 1]|sort|first + 1 }}
{{ (messages|last).content }} {{ (messages|first)['role'] }}
{{ 'a'|string()|upper() }}
# Tests
{{ yes is defined }} {{ nope is undefined }} {{ n is none }} {{ n is not none }} {{ s is string }} {{ 5 is string }} {{ 5 is number }} {{ 5.5 is number }} {{ true is number }} {{ '5' is number }}
{{ 5 is integer }} {{ true is integer }} {{ 5.0 is integer }} {{ 5.0 is float }} {{ 5 is float }} {{ true is boolean }} {{ 1 is boolean }} {{ d is mapping }} {{ [] is mapping }} {{ big is integer }}
{{ [] is sequence }} {{ 'a' is sequence }} {{ d is sequence }} {{ () is sequence }} {{ 5 is sequence }} {{ nope is sequence }} {{ d.keys() is sequence }} {{ range(3) is sequence }} {{ (names|map('upper')) is sequence }}
{{ [] is iterable }} {{ 'a' is iterable }} {{ 5 is iterable }} {{ nope is iterable }} {{ none is iterable }} {{ d.keys() is iterable }} {{ (names|map('upper')) is iterable }} {{ namespace() is iterable }} {{ namespace() is mapping }}
{{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }} {{ 3 is odd }} {{ 4 is even }} {{ -3 is odd }} {{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }}
{{ 'a' is odd }}
{{ 1 is eq 1 }} {{ 1 is equalto(1) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is le 1 }} {{ 1 is gt 2 }} {{ 2 is ge 2 }} {{ 1 is sameas 1 }} {{ true is sameas true }} {{ 1 is sameas true }} {{ none is sameas none }} {{ 'a' is in ['a'] }} {{ 1 is not in [1] }} {{ 5 is greaterthan 3 }} {{ 5 is lessthan 3 }}
{{ range is callable }} {{ 5 is callable }} {{ nope is callable }} {{ 'x'.upper is callable }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'aB' is lower }} {{ 'upper' is filter }} {{ 'nofilter' is filter }} {{ 'odd' is test }}
{{ yes is not defined or n is none and not false }} {{ d.b is defined and d.b == 1 }} {{ d.x is not defined }}
{{ 1 is nothing }}
{{ yes is defined is true }}
{{ d.a is defined and d.a is iterable and d.a is not string and d.a is not mapping }}
{{ 'x' if d is mapping else 'y' }}
{{ d.nope.nope is defined }}
{{ d['a'] is sequence and d['a']|length > 2 }}
# Globals
{{ range(0)|list }} {{ range(2, 5)|list }} {{ range(5, 2)|list }} {{ range(10, 0, -3)|list }}
{{ range(1, 2, 0) }}
{{ range(200000) }}
{{ range('a') }}
{{ raise_exception('custom ' ~ 5) }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %B %A %j %y %% %-d') }} {{ strftime_now('%Z%z') }}|
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner('|') %}{{ j() }}a{{ j() }}b{{ j() }}
{{ cycler() }}
{{ bos_token + 'x' }}{{ bos_token }}
{{ nope.items() }}
{{ {'a': 1}.pop('a') }}
"""


def make_cases():
    for line in CASES.strip("\n").split("\n"):
        if not line.startswith("# "):
            yield line.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\0", "\\")


def oracle(template):
    try:
        return chat_template_utils._compile_jinja_template(template).render(**VARIABLES), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def literal(text):
    if text is None:
        return "NULL"
    out = ""
    for ch in text:
        code = ord(ch)
        out += {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}.get(ch) or (
            ch if 0x20 <= code and code not in (0x7F, 0xA0) and not 0x2000 <= code <= 0x206F else
            "".join(f"\\{byte:03o}" for byte in ch.encode()))
    return f'"{out}"'


def main():
    os.environ["TZ"] = "UTC"
    time.tzset()
    chat_template_utils.datetime = FixedDate
    driver = Driver(sys.argv[2]) if len(sys.argv) > 2 else None
    rows = []
    differences = 0
    for template in make_cases():
        expected, reason = oracle(template)
        rows.append(f"  {{ {literal(template)},\n    {literal(expected)} }},")
        if driver is None:
            continue
        found, error, _ = driver.render(template, "t", {**VARIABLES, "__strftime_now__": NOW})
        if found != expected or "-v" in sys.argv and expected is None:
            differences += found != expected
            print(f"{template!r}\n  jinja2: {reason or repr(expected)}\n  ours:   {error or repr(found)}")
    if driver is not None:
        print(f"{len(rows)} cases, {differences} differences")
        return 1 if differences else 0
    print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
    print("/* Written by tests/interop/make_template_cases.py with jinja2's answers; NULL: it fails. */")
    print(f"#define CASES_NOW {NOW}")
    print(f"static const char cases_variables[]\n    = {literal(json.dumps(VARIABLES, ensure_ascii=False))};\n")
    print("static const struct\n{\n  const char *source;\n  const char *expected;\n} cases[] = {")
    print("\n".join(rows))
    print("};")
    return 0


if __name__ == "__main__":
    sys.exit(main())
