#!/usr/bin/env bash
# Every header compiles alone, and twice, under gcc and clang; the public ones also as C++ and without an extension: headers.sh [TREE]
set -euo pipefail
cd "${1:-.}"

inside=(-std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -Iinclude -Isrc)
outside=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude)

public=(include/weft.h)
for header in include/weft/*.h; do
    if [[ $header != */json.h ]] || [[ -e /usr/include/jansson.h ]]; then # which the library itself does not need
        public+=("$header")
    fi
done

# alone HEADER COMPILER...
alone() {
    printf '#include <%s>\n#include <%s>\n' "$1" "$1" | "${@:2}" - || {
        printf '%s does not compile alone: %s\n' "$1" "${*:2}"
        return 1
    }
}

failed=0
for compiler in gcc clang; do
    for header in "${public[@]}"; do
        alone "${header#include/}" "$compiler" -x c -std=c17 "${outside[@]}" || failed=1
    done
    for header in src/*/*.h; do
        alone "${header#src/}" "$compiler" -x c "${inside[@]}" || failed=1
    done
done
for compiler in g++ clang++; do
    for header in "${public[@]}"; do
        alone "${header#include/}" "$compiler" -x c++ -std=c++17 "${outside[@]}" || failed=1
    done
done
exit $failed
