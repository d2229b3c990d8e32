// Count: runs one part so many times and nothing else, for callgrind; without arguments it prints their names. The
// measuring library's own main is asynchronous, and valgrind does not survive that.

import Parts

if CommandLine.arguments.count == 3, let times = Int(CommandLine.arguments[2]),
    let (_, make) = parts.first(where: { $0.name == CommandLine.arguments[1] })
{
    let part = make()
    for _ in 0..<times { part.runOnce() }
} else {
    for (name, _) in parts { print(name) }
}
