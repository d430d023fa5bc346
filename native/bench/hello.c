/* The least that a static C program is: its start-up, one line, its end. */
#include <stdio.h>

int main(void)
{
    puts("hello");
    return 0;
}
