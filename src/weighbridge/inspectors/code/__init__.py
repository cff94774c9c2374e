"""Code: Python, TorchScript, notebooks, scripts and chat templates."""
