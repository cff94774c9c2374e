"""Runs inspectors in processes of their own: bounded in memory and time, without network, programs or files."""
