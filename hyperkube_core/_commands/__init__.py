"""The launcher's own commands, one module each, imported when it is called."""
