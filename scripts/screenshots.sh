#!/usr/bin/env bash
# Makes the pictures of docs/guides/web-page.md from a pgwright that serves. "make pictures" makes a server with a past for it.
#
#   scripts/screenshots.sh http://127.0.0.1:9187 "/statement?database=shop&queryid=42&window=24h"
#
# Needs chromium (scripts/setup.sh test); with pngquant the pictures have few colors and stay small.
set -euo pipefail

address=${1:?the address at which pgwright serves, as http://127.0.0.1:9187}
statement=${2:?the path of a statement, as /statement?database=shop&queryid=42}
out=$(cd "$(dirname "$0")/.." && pwd)/docs/images
mkdir -p "$out"

shot() { # NAME PATH WIDTH HEIGHT [OPTION]
    timeout 30 chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 --timeout=2500 \
        --window-size="$3,$4" ${5:+"$5"} --screenshot="$out/$1.png" "$address$2" >/dev/null 2>&1
    if command -v pngquant >/dev/null 2>&1; then
        pngquant --force --ext .png --speed 1 64 "$out/$1.png"
    fi
    printf 'screenshots: %s (%s bytes)\n' "$1.png" "$(stat -c %s "$out/$1.png")" >&2
}

shot overview / 1280 1100
shot statements "/statements?window=24h&sort=p99&order=desc" 1280 700
shot statement "$statement" 1280 1500
shot recommendations /recommendations 1280 900
shot overview-phone / 500 1100
shot statement-dark "$statement" 1280 1500 --blink-settings=preferredColorScheme=0
