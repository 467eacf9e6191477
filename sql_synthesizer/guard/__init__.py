"""What may come in and what may run: ``question`` judges typed text, ``statement`` judges SQL."""
