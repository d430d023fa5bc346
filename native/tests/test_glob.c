#include "glob.h"

#include <string.h>

#include "check.h"

static bool match(const char *pattern, const char *name)
{
    return glob_segment(pattern, strlen(pattern), name);
}

int main(void)
{
    CHECK(match("a.txt", "a.txt"));
    CHECK(!match("a.txt", "a.txt2"));
    CHECK(!match("a.txt", "a"));
    CHECK(match("*", "anything"));
    CHECK(match("*.json", "x.json"));
    CHECK(match("*.json", "a.b.json"));
    CHECK(!match("*.json", "x.jsonl"));
    CHECK(match("a?c", "abc"));
    CHECK(!match("a?c", "ac"));
    CHECK(match("a*b*c", "a-b-b-c"));
    CHECK(!match("a*b*c", "a-c-b"));
    CHECK(match("***", "x"));
    CHECK(!match("", "x"));
    /* a leading dot wants a literal one */
    CHECK(!match("*", ".hidden"));
    CHECK(!match("?hidden", ".hidden"));
    CHECK(match(".*", ".hidden"));
    /* would take exponential time with naive backtracking */
    char many[256];
    memset(many, 'a', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    CHECK(!match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", many));

    CHECK(glob_wild("a*", 2));
    CHECK(glob_wild("a?", 2));
    CHECK(!glob_wild("a*", 1));
    return 0;
}
