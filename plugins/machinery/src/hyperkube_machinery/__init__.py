"""The library under hk's servers."""
