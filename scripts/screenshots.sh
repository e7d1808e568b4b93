#!/usr/bin/env bash
# Makes the pictures of docs/guides/web-page.md from a pgwright that serves.
#
#   scripts/screenshots.sh http://127.0.0.1:9187
#
# Needs chromium (scripts/setup.sh test); with pngquant the pictures have few colors and stay small.
set -euo pipefail

address=${1:?the address at which pgwright serves, as http://127.0.0.1:9187}
out=$(cd "$(dirname "$0")/.." && pwd)/docs/images
mkdir -p "$out"

shot() { # NAME PATH WIDTH HEIGHT
    timeout 30 chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 --timeout=2500 \
        --window-size="$3,$4" --screenshot="$out/$1.png" "$address$2" >/dev/null 2>&1
    if command -v pngquant >/dev/null 2>&1; then
        pngquant --force --ext .png --speed 1 64 "$out/$1.png"
    fi
    printf 'screenshots: %s (%s bytes)\n' "$1.png" "$(stat -c %s "$out/$1.png")" >&2
}

shot overview / 1280 1000
shot statements /statements 1280 700
shot recommendations /recommendations 1280 900
shot overview-phone / 500 900
