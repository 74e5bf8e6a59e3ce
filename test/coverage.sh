#!/usr/bin/env bash
# Coverage of the packages in which money could go wrong: each at least 90 % of its statements by its own tests.
# Usage: test/coverage.sh [OUTPUT_DIR]   (writes a profile and an HTML page per package there)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-coverage}
threshold=90
mkdir -p "$out"
failed=0
for package in . ./internal/posting ./internal/engine ./internal/audit ./internal/sqlite ./internal/postgres; do
  name=$(basename "$(go list "$package")")
  if ! line=$(go test -count=1 -coverprofile="$out/$name.out" "$package" | tail -n 1); then
    echo "$line"
    failed=1
    continue
  fi
  go tool cover -html="$out/$name.out" -o "$out/$name.html"
  percent=$(go tool cover -func="$out/$name.out" | awk '/^total:/ { sub("%", "", $3); print $3 }')
  verdict=ok
  if awk -v p="$percent" -v t="$threshold" 'BEGIN { exit !(p < t) }'; then
    verdict="below $threshold %"
    failed=1
  fi
  printf '%-10s %5s %%  %s\n' "$name" "$percent" "$verdict"
done
exit "$failed"
