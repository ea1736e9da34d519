#!/usr/bin/env bash
# The library, the command, the examples and the conformance server compile without a warning under gcc and clang, with the
# warnings that meson.build names: warnings.sh [TREE]
set -euo pipefail
cd "${1:-.}"

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

mapfile -t warnings < <(sed -n "/^warnings = \[/,/^\]/s/^ *'\(-W[^']*\)',\$/\1/p" meson.build)
[ ${#warnings[@]} -gt 0 ]
flags=(-std=gnu17 -D_GNU_SOURCE -fvisibility=hidden -O1 -Wall -Wextra -Werror "${warnings[@]}" -Iinclude -c -o /dev/null)

# The files that the build turns into C.
if [ -f tools/embed.c ]; then
    gcc -o "$made/embed" tools/embed.c
    for page in page=index.html chatroom=chatroom.html progress=progress.html sendmsg=sendmsg.html style=demo.css script=demo.js; do
        name=demo_${page%%=*}
        "$made/embed" "src/cli/demo/${page#*=}" "$made/$name.c" "$made/$name.h" "$name"
    done
    "$made/embed" js/weft.js "$made/weft_js.c" "$made/weft_js.h" weft_js
fi

# One line a file: the compiler, what the file may see, the file.
shopt -s nullglob
for compiler in gcc clang; do
    for file in src/*/*.c; do
        case $file in
        src/cli/bench.c) printf '%s -Isrc -I%s %s\n' "$compiler" "$made" "$file" ;; # it sees src/bench
        src/cli/*) printf '%s -I%s %s\n' "$compiler" "$made" "$file" ;;
        src/transport/*) printf '%s -Isrc -I%s %s\n' "$compiler" "$made" "$file" ;;
        *) printf '%s -Isrc %s\n' "$compiler" "$file" ;;
        esac
    done
    for file in "$made"/*.c tools/*.c examples/*.c tests/conformance/*.c; do
        printf '%s -Iinclude %s\n' "$compiler" "$file"
    done
done | flags="${flags[*]}" xargs -P "$(nproc)" -L 1 sh -c '"$0" $flags "$@"'
