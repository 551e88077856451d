"""What this computer is. The ground floor: it asks the system and imports nothing of ours."""
