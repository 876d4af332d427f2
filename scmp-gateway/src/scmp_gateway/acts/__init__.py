"""What the verbs do: calls with the caller's own token, and replies of what comes back."""
