"""Who there is and what each may do: accounts, roles, tokens, passwords."""
