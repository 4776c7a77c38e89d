"""Run the benchmarks, or those that are named: `make bench ARGS=startup`."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    "startup",
    "acme_http",
    "acme_dns",
    "renewal",
    "task_history",
    "log_search",
    "boot_refresh",
    "guests",
    "guest_watching",
    "api_service",
)


def main(wanted):
    for name in wanted or BENCHMARKS:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py")], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
