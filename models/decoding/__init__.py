"""The decoding engine, second design: pages that never move, one fixed step, sampling on the device."""
