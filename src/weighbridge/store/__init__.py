"""Where bytes and history live: object stores, ledger, catalog."""
