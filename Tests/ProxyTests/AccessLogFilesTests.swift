import Foundation
import MeshModel
import Synchronization
import TestSupport
import Testing

@testable import Proxy

@Suite("Files of access logs")
struct AccessLogFilesTests {
    @Test("Logs of one path share a file, which is written when flushed")
    func sharing() throws {
        let directory = try TemporaryDirectory()
        let files = AccessLogFiles()
        let first = files.file(for: .file(directory.path("log")))
        #expect(first === files.file(for: .file(directory.path("log"))))
        first.append(Array("one\n".utf8))
        #expect(directory.read("log") == "")
        files.flush()
        first.append(Array("two\n".utf8))
        files.flush()
        #expect(directory.read("log") == "one\ntwo\n" && files.droppedLines == 0 && files.problems.isEmpty)
    }

    @Test("Much that waits asks for a flush once; what is beyond the bound is dropped, whole lines")
    func bound() throws {
        let directory = try TemporaryDirectory()
        let files = AccessLogFiles()
        let asked = Atomic(0)
        files.setFlushRequest { asked.add(1, ordering: .relaxed) }
        let file = files.file(for: .file(directory.path("log")))
        let line = [UInt8](repeating: 0x61, count: 1023) + [0x0a]
        for _ in 0..<5000 { file.append(line) }
        let times = asked.load(ordering: .relaxed)
        #expect(times == 1)
        #expect(files.droppedLines == 5000 - 4096)
        files.flush()
        let bytes = Array((directory.read("log") ?? "").utf8)
        #expect(bytes.count == 4096 * 1024 && bytes.last == 0x0a)
        file.append(line)
        #expect(files.droppedLines == 904)
    }

    @Test("A reader that stands still stops nobody; it gets everything later, in order")
    func slowReader() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("pipe")
        #expect(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let files = AccessLogFiles()
        let file = files.file(for: .file(path))
        var expected = 0
        for number in 0..<40_000 {
            let line = Array("line \(number)\n".utf8)
            expected += line.count
            file.append(line)
        }
        files.flush()
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while received.count < expected {
            let size = chunk.count
            let count = read(reader, &chunk, size)
            if count > 0 { received += chunk[..<count] }
            files.flush()
        }
        let lines = String(decoding: received, as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 40_000 && lines.enumerated().allSatisfy { $0.element == "line \($0.offset)" })
    }

    @Test("A moved file keeps its lines, and a new one gets the next")
    func reopening() throws {
        let directory = try TemporaryDirectory()
        let files = AccessLogFiles()
        let file = files.file(for: .file(directory.path("log")))
        file.append(Array("one\n".utf8))
        #expect(rename(directory.path("log"), directory.path("old")) == 0)
        files.reopen()
        file.append(Array("two\n".utf8))
        files.flush()
        #expect(directory.read("old") == "one\n" && directory.read("log") == "two\n")
    }

    @Test("A file that cannot be opened is a problem until it can")
    func problems() throws {
        let directory = try TemporaryDirectory()
        let files = AccessLogFiles()
        let file = files.file(for: .file(directory.path("folder/log")))
        file.append(Array("kept\n".utf8))
        #expect(files.problems.map(\.path) == [directory.path("folder/log")])
        #expect(mkdir(directory.path("folder"), 0o700) == 0)
        files.flush()
        #expect(files.problems.isEmpty && directory.read("folder/log") == "kept\n")
    }

    @Test("A file that no log names any more is closed")
    func closing() throws {
        let directory = try TemporaryDirectory()
        let files = AccessLogFiles()
        var file: AccessLogFile? = files.file(for: .file(directory.path("log")))
        weak let watched = file
        files.flush()
        #expect(watched != nil)
        file = nil
        files.flush()
        #expect(watched == nil)
        _ = file
    }
}
