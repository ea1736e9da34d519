#!/usr/bin/env bash
# Every C and C++ file looks as clang-format leaves it: format.sh [TREE]. `./dev fmt` mends it.
set -euo pipefail
cd "${1:-.}"

find . \( -name .git -o -name node_modules -o -path ./build \) -prune -o \( -name '*.[ch]' -o -name '*.cc' \) -print0 |
    xargs -0 clang-format --dry-run --Werror
