"""A tiny POP3 server that keeps every rule, until one of its faults is switched on."""
