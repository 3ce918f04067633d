"""The append-only ledger: tables, writer, chain."""
