"""fickling by its own interface for programs, which looks into archives: its command line reads bare pickles alone.

Run by fickling's own interpreter (`forked.py`). The exit codes are fickling's: 0 clean, 1 unsafe, 2 could not say.
"""

from __future__ import annotations

import sys
import zipfile


def main() -> int:
    """Scans the file that the command line names, as fickling's own scan of a repository does."""
    import fickling  # type: ignore[import-not-found, unused-ignore] # only in its own environment
    from fickling.analysis import Severity  # type: ignore[import-not-found, unused-ignore]

    path = sys.argv[1]
    if zipfile.is_zipfile(path):
        scanned = list(fickling.scan_zip_archive(path, graceful=True).values())
    else:
        scanned = [fickling.scan_file(path, graceful=True)]
    if any(found.severity > Severity.LIKELY_SAFE for one in scanned for found in one.results):
        return int(fickling.EXIT_UNSAFE)
    # Nothing scanned is no answer either.
    return int(fickling.EXIT_CLEAN if scanned and not any(one.errors for one in scanned) else fickling.EXIT_ERROR)
