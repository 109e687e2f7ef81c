int deep(void);
int middle(void) { return deep() + 2; }
