"""``serve`` with child processes that hold memory or burn CPU on demand.

``python -m sql_synthesizer_proof.drill.ballast FILE`` reads its load from FILE; without that file there is none.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from sql_synthesizer.cli import main
from sql_synthesizer.files import write_file
from sql_synthesizer.operate.child import Child, module_command

POLL = 0.5
FILE = "ballast.json"
"""The name of the file with the wanted load, in a chain's home."""
HOLD = """import os, sys, time; above = os.getppid()
held = bytearray(b'x') * int(sys.argv[1])
while os.getppid() == above: time.sleep(1)"""
BURN = "import os; above = os.getppid()\nwhile os.getppid() == above: pass"
"""Programs of the children; both end with the service, even if that is killed."""


def launch_command(file: Path) -> list[str]:
    """The command that serves, with the load that ``file`` asks for."""
    return module_command("sql_synthesizer_proof.drill.ballast", str(file))


def add_ballast(file: Path, *, memory: int = 0, burners: int = 0) -> None:
    """Adds ``memory`` bytes to hold and ``burners`` processes that burn CPU to the wanted load."""
    found = json.loads(file.read_text(encoding="ascii")) if file.exists() else {"memory": 0, "burners": 0}
    wanted = {"memory": found["memory"] + memory, "burners": found["burners"] + burners}
    write_file(file, [json.dumps(wanted).encode()], durable=False)


def follow_load(file: Path) -> None:
    """Runs the processes that ``file`` asks for, and others when it changes; never returns."""
    laid, processes = "", list[Child]()
    while True:
        wanted = file.read_text(encoding="ascii") if file.exists() else ""
        if wanted != laid:
            for process in processes:
                process.kill()
            weights = json.loads(wanted or '{"memory": 0, "burners": 0}')
            commands = [["-c", BURN]] * weights["burners"]
            if weights["memory"]:
                commands.append(["-c", HOLD, str(weights["memory"])])
            # each in a session of its own, for its share of CPU
            processes = [Child("a weight", [sys.executable, *command]).start() for command in commands]
            laid = wanted
        time.sleep(POLL)


if __name__ == "__main__":
    threading.Thread(target=follow_load, args=(Path(sys.argv[1]),), name="ballast", daemon=True).start()
    sys.argv = [sys.argv[0], "serve"]
    main()
