"""Where state lives: in this process or in Redis, behind one port."""
