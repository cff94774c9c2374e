"""What an inference node needs: what it trusts, verified folders, and verified tensors in memory."""
