/**
 * One row for each language: what its programs are in the six cases of the table test. `eat` allocates until it
 * is stopped: by the box (`memory_limit`), or by a runtime that has a heap limit of its own, below the box's,
 * and says so on stderr.
 */
import type { LanguageName } from '../../services/contract/languages.js';

export interface Programs {
  /** Prints "hello" and a line feed. */
  readonly hello: string;
  /** Prints each line of its input with "> " before it. */
  readonly echo: string;
  /** Not a program, for a compiler; null for languages without one. */
  readonly broken: string | null;
  /** Ends by an error of its own. */
  readonly crash: string;
  readonly loop: string;
  readonly eat: string;
  /** Null: the box ends it. */
  readonly eatSays: RegExp | null;
}

const python: Programs = {
  hello: 'print("hello")',
  echo: 'import sys\nfor line in sys.stdin: print("> " + line, end="")',
  broken: null,
  crash: 'raise ValueError("mine")',
  loop: 'while True: pass',
  eat: 'a = []\nwhile True: a.append(bytearray(1 << 20))',
  eatSays: null,
};

const javascript: Programs = {
  hello: 'console.log("hello")',
  echo: 'require("fs").readFileSync(0, "utf8").trimEnd().split("\\n").forEach((l) => console.log("> " + l))',
  broken: null,
  crash: 'throw new Error("mine")',
  loop: 'for (;;);',
  eat: 'const a = []; for (;;) a.push(new Array(1e5).fill(a.length))',
  eatSays: /heap out of memory/,
};

const cpp: Programs = {
  hello: '#include <bits/stdc++.h>\nint main() { std::cout << "hello" << std::endl; }',
  echo: '#include <bits/stdc++.h>\nint main() { std::string s; while (getline(std::cin, s)) std::cout << "> " << s << "\\n"; }',
  broken: 'int main() { return missing; }',
  crash: '#include <bits/stdc++.h>\nint main() { std::vector<int> v; v.at(1); }',
  loop: 'int main() { for (volatile int i = 0;; i++); }',
  eat: '#include <bits/stdc++.h>\nint main() { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }',
  eatSays: null,
};

export const PROGRAMS: Readonly<Record<LanguageName, Programs>> = {
  python,
  'python-data': python,
  javascript,
  cpp,
  cpp17: cpp,
  c: {
    hello: '#include <stdio.h>\nint main(void) { puts("hello"); }',
    echo: '#include <stdio.h>\nint main(void) { char s[99]; while (fgets(s, 99, stdin)) printf("> %s", s); }',
    broken: 'int main(void) { return missing; }',
    crash: '#include <stdlib.h>\nint main(void) { abort(); }',
    loop: 'int main(void) { for (volatile int i = 0;; i++); }',
    eat: '#include <stdlib.h>\n#include <string.h>\nint main(void) { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }',
    eatSays: null,
  },
  bash: {
    hello: 'echo hello',
    echo: 'while read -r line; do echo "> $line"; done',
    broken: null,
    crash: 'set -e\nfalse',
    loop: 'while :; do :; done',
    eat: 'a=xxxxxxxxxxxxxxxx\nwhile :; do a=$a$a; done',
    eatSays: null,
  },
  typescript: {
    ...javascript,
    hello: 'const word: string = "hello"; console.log(word);',
    echo: 'import { readFileSync } from "fs";\nfor (const l of readFileSync(0, "utf8").trimEnd().split("\\n")) console.log(`> ${l}`);',
    broken: 'const n: number = "text";',
    eat: 'const a: number[][] = []; for (;;) a.push(new Array<number>(1e5).fill(a.length));',
  },
  ruby: {
    hello: 'puts "hello"',
    echo: 'STDIN.each_line { |line| puts "> #{line}" }',
    broken: null,
    crash: 'raise "mine"',
    loop: 'loop {}',
    eat: 'a = []\nloop { a << "x" * (1 << 20) }',
    eatSays: null,
  },
  php: {
    hello: '<?php echo "hello\\n";',
    echo: '<?php while (($line = fgets(STDIN)) !== false) echo "> $line";',
    broken: null,
    crash: '<?php throw new Exception("mine");',
    loop: '<?php while (true);',
    eat: '<?php $a = []; while (true) $a[] = str_repeat("x", 1 << 20);',
    eatSays: null,
  },
  perl: {
    hello: 'print "hello\\n";',
    echo: 'print "> $_" while <STDIN>;',
    broken: null,
    crash: 'die "mine";',
    loop: '1 while 1;',
    eat: 'push @a, "x" x (1 << 20) while 1;',
    eatSays: null,
  },
  lua: {
    hello: 'print("hello")',
    echo: 'for line in io.lines() do print("> " .. line) end',
    broken: null,
    crash: 'error("mine")',
    loop: 'while true do end',
    eat: 'local a = {} while true do a[#a + 1] = string.rep("x", 1 << 20) .. #a end',
    eatSays: null,
  },
  r: {
    hello: 'cat("hello\\n")',
    echo: 'for (line in readLines(file("stdin"))) cat("> ", line, "\\n", sep = "")',
    broken: null,
    crash: 'stop("mine")',
    loop: 'repeat {}',
    eat: 'a <- list(); repeat a[[length(a) + 1]] <- rep(1, 1e6)',
    eatSays: null,
  },
  sqlite: {
    hello: "SELECT 'hello';",
    echo: "CREATE TABLE t(line TEXT);\n.import /dev/stdin t\nSELECT '> ' || line FROM t;",
    broken: null,
    crash: 'SELECT * FROM missing;',
    loop: 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;',
    eat: 'CREATE TABLE t(b BLOB);\nWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT zeroblob(1000000) FROM n;',
    eatSays: null,
  },
  java: {
    hello:
      'public class Main { public static void main(String[] a) { System.out.println("hello"); } }',
    echo: 'import java.util.*;\npublic class Main { public static void main(String[] a) { Scanner in = new Scanner(System.in); while (in.hasNextLine()) System.out.println("> " + in.nextLine()); } }',
    broken: 'public class Main { int n = "text"; }',
    crash:
      'public class Main { public static void main(String[] a) { throw new RuntimeException("mine"); } }',
    loop: 'public class Main { public static void main(String[] a) { for (;;); } }',
    eat: 'import java.util.*;\npublic class Main { public static void main(String[] a) { List<byte[]> l = new ArrayList<>(); for (;;) l.add(new byte[1 << 20]); } }',
    eatSays: /OutOfMemoryError/,
  },
  go: {
    hello: 'package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }',
    echo: 'package main\nimport ("bufio"; "fmt"; "os")\nfunc main() { in := bufio.NewScanner(os.Stdin); for in.Scan() { fmt.Println("> " + in.Text()) } }',
    broken: 'package main\nfunc main() { var n int = "text" }',
    crash: 'package main\nfunc main() { panic("mine") }',
    loop: 'package main\nfunc main() { for {} }',
    eat: 'package main\nvar all [][]byte\nfunc main() { for { b := make([]byte, 1<<20); for i := range b { b[i] = 1 }; all = append(all, b) } }',
    eatSays: null,
  },
  rust: {
    hello: 'fn main() { println!("hello"); }',
    echo: 'use std::io::*;\nfn main() { for line in stdin().lines() { println!("> {}", line.unwrap()); } }',
    broken: 'fn main() { let n: i32 = "text"; }',
    crash: 'fn main() { panic!("mine"); }',
    loop: 'fn main() { loop {} }',
    eat: 'fn main() { let mut all = vec![]; loop { all.push(vec![1u8; 1 << 20]); if all.len() % 1000 == 999 { println!("{}", all[7][9]); } } }',
    eatSays: null,
  },
  pascal: {
    hello: "begin writeln('hello'); end.",
    echo: "var s: string; begin while not eof do begin readln(s); writeln('> ', s); end; end.",
    broken: "var n: integer; begin n := 'text'; end.",
    crash: 'var n, zero: integer; begin zero := 0; n := 1 div zero; writeln(n); end.',
    loop: 'begin while true do; end.',
    eat: 'var p: pointer; begin while true do begin getmem(p, 1048576); fillchar(p^, 1048576, 1); end; end.',
    eatSays: null,
  },
  csharp: {
    hello: 'class Program { static void Main() { System.Console.WriteLine("hello"); } }',
    echo: 'using System;\nclass Program { static void Main() { string line; while ((line = Console.ReadLine()) != null) Console.WriteLine("> " + line); } }',
    broken: 'class Program { static void Main() { int n = "text"; } }',
    crash: 'class Program { static void Main() { throw new System.Exception("mine"); } }',
    loop: 'class Program { static void Main() { for (;;); } }',
    eat: 'using System.Collections.Generic;\nclass Program { static void Main() { var a = new List<byte[]>(); for (;;) { var b = new byte[1 << 20]; for (int i = 0; i < b.Length; i += 512) b[i] = 1; a.Add(b); } } }',
    eatSays: null,
  },
  haskell: {
    hello: 'main = putStrLn "hello"',
    echo: 'main = interact (unlines . map ("> " ++) . lines)',
    broken: 'main = putStrLn 1 + True',
    crash: 'main = error "mine"',
    loop: 'main = let loop n = if n < 0 then return () else loop (n + 1) in loop (0 :: Integer)',
    eat: 'main = let l = [1 ..] :: [Integer] in print (sum l) >> print (length l)',
    eatSays: null,
  },
  ocaml: {
    hello: 'let () = print_endline "hello"',
    echo: 'let () = try while true do print_endline ("> " ^ read_line ()) done with End_of_file -> ()',
    broken: 'let n : int = "text"',
    crash: 'let () = failwith "mine"',
    loop: 'let () = while true do () done',
    eat: "let () = let a = ref [] in while true do a := Bytes.make 1048576 'x' :: !a done",
    eatSays: null,
  },
};
