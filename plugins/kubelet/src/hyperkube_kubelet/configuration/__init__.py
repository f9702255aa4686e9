"""The kubelet's config files: KubeletConfigurations, merged, checked and made options; and back, for /configz.

files ─→ decoding: fields and types ─→ merged ─→ validation ─→ reading: options, warnings, refusals
"""
