int deep(void) { return 40; }
