"""Tells news to those who asked for them: webhooks, mail, chat; what is owed to whom is in the ledger."""
