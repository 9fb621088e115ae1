"""Tells what came of kazoo's tests: tell.py NAME RESULT. Exit status 1 if any failed."""
import collections
import json
import sys

name, path = sys.argv[1:]
with open(path) as result:
    outcomes = json.load(result)
counts = collections.Counter(kind for kind, _ in outcomes.values())
print(f"{name}: {counts['passed']} passed, {counts['failed']} failed, {counts['left out']} left out")
for kind in ("failed", "left out"):
    for test, (outcome, reason) in sorted(outcomes.items()):
        if outcome == kind:
            print(f"  {kind}: {test}: {reason}")
sys.exit(1 if counts["failed"] else 0)
