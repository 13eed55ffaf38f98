"""What a task reaches and may do: routes to AWS's services, and its execution role."""
