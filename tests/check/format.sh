#!/usr/bin/env bash
# Every C file looks as clang-format leaves it: format.sh [TREE]. `./dev fmt` mends it.
set -euo pipefail
cd "${1:-.}"

find . \( -name .git -o -name node_modules -o -path ./build \) -prune -o -name '*.[ch]' -print0 |
    xargs -0 clang-format --dry-run --Werror
