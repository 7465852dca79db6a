"""Runs the snippets of README.md that mint credentials, and holds what they print against the published vectors.

Only those in languages that can be run here: each is a block of code behind `<!-- snippet: NAME -->`, and reads SECRET
and USERNAME from its environment.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"node": ["node", "-e"], "python": [sys.executable, "-c"]}


def main() -> None:
    vectors = json.loads((ROOT / "tests/vectors/credentials.json").read_text())["credentials"]
    readme = (ROOT / "README.md").read_text()
    for language, command in COMMANDS.items():
        code = _snippet(readme, language)
        for vector in vectors:
            given = {"SECRET": vector["secret"], "USERNAME": vector["username"]}
            output = subprocess.check_output([*command, code], env=os.environ | given, text=True)
            if output.rstrip("\n") != vector["password"]:
                sys.exit(f"{language}, {vector['name']}: {output!r}, expected {vector['password']}")
        print(f"ok {language}: {len(vectors)} credentials")


def _snippet(readme: str, language: str) -> str:
    found = re.findall(rf"^<!-- snippet: {language} -->\n+```\w+\n(.*?)^```$", readme, re.M | re.S)
    if len(found) != 1:
        sys.exit(f"README.md has {len(found)} snippets for {language}, not one")
    return found[0]


if __name__ == "__main__":
    main()
