"""Pin the SHA-256 of each file of each script bundle in its manifest, in the order of joining.

Run it after a change to a Lua file: ``make pin``. The change is then seen twice in a review.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent / "src" / "sluicegate" / "ratelimit"
DECIDE = (
    "algorithms/exact.lua",
    "algorithms/gcra.lua",
    "stores/script/server_time.lua",
    "stores/script/plain.lua",
    "algorithms/window.lua",
    "algorithms/fixed_window.lua",
    "algorithms/calendar_quota.lua",
    "algorithms/sliding_window_counter.lua",
    "algorithms/sliding_window_log.lua",
    "algorithms/concurrency.lua",
    "algorithms/carrying.lua",
    "stores/script/state.lua",
    "stores/script/log.lua",
    "stores/script/holders.lua",
    "stores/script/refund.lua",
    "stores/script/decide.lua",
)
BUNDLES = {
    "manifest.json": DECIDE,
    "changes_write.json": ("stores/script/server_time.lua", "stores/script/changes_write.lua"),
    "allowed.json": ("stores/script/allowed.lua",),
    "changes_read.json": ("stores/script/server_time.lua", "stores/script/changes_read.lua"),
}


def main() -> None:
    """Write the manifests."""
    for name, paths in BUNDLES.items():
        pinned = {path: hashlib.sha256(ROOT.joinpath(path).read_bytes()).hexdigest() for path in paths}
        manifest = ROOT / "stores" / "script" / name
        manifest.write_text(json.dumps(pinned, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
