"""Request bodies to typed requests, and predictions to reply bodies, for V1 and V2. Every function is pure."""
