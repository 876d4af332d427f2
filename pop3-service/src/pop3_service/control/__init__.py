"""The seam between worker and supervisor: few verbs, direct or over a socketpair."""
