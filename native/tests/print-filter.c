/* Prints the filter's tables for tests/security: {"denied": [numbers], "missing": [numbers]}. */
#include <stdio.h>

#include "../src/filter.c"

static void print(const char *name, const int *calls, size_t count, const char *after)
{
    printf("\"%s\": [", name);
    for (size_t i = 0; i < count; i++)
        printf("%s%d", i > 0 ? ", " : "", calls[i]);
    printf("]%s", after);
}

int main(void)
{
    printf("{");
    print("denied", denied, sizeof denied / sizeof *denied, ", ");
    print("missing", missing, sizeof missing / sizeof *missing, ", ");
    printf("\"known\": %d}\n", KNOWN_SYSCALLS);
    return 0;
}
