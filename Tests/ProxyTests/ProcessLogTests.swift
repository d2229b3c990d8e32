import Foundation
import MeshPrimitives
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Proxy

@Suite("The process's log")
struct ProcessLogTests {
    private func lines(_ format: ProcessLog.Format, level: LogLevel = .info, _ body: (ProcessLog) -> Void)
        throws
        -> [String]
    {
        let directory = try TemporaryDirectory()
        let log = try ProcessLog(level: level, format: format, path: directory.path("log"))
        body(log)
        log.flush()
        return (directory.read("log") ?? "").split(separator: "\n").map(String.init)
    }

    @Test("Lines are written as text or as JSON, each on a line of its own")
    func forms() throws {
        let peer = SocketAddress(ipv4: 10, 0, 0, 1, port: 5)
        let text = try lines(.text) { $0.note(.warning, "refused", detail: "a\nb", peer: peer) }
        #expect(text.count == 1 && text[0].hasSuffix("Z warning refused: a b peer=10.0.0.1:5"), "\(text)")
        let json = try lines(.json) { $0.note(.error, "refused", detail: "a\n\"b\"", local: peer) }
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(json.joined().utf8)) as? [String: String])
        #expect(
            object["message"] == "refused" && object["detail"] == "a\n\"b\"" && object["level"] == "error")
        #expect(
            object["local"] == "10.0.0.1:5" && object["peer"] == nil && object["time"]?.hasSuffix("Z") == true
        )
    }

    @Test("Levels below the threshold are not written, nor is their detail made")
    func levels() throws {
        var made = 0
        func detail() -> String {
            made += 1
            return ""
        }
        let found = try lines(.text, level: .warning) { log in
            log.note(.info, "one", detail: detail())
            log.level = .debug
            log.note(.debug, "two", detail: detail())
            log.level = .off
            log.note(.error, "three", detail: detail())
        }
        #expect(found.count == 1 && found[0].contains("debug two") && made == 1)
        #expect(LogLevel(name: "WARN") == .warning && LogLevel(name: "critical") == .error)
        #expect(LogLevel(name: "loud") == nil)
    }

    @Test("A flood is cut off, and how much was lost is told")
    func flood() throws {
        let directory = try TemporaryDirectory()
        let log = try ProcessLog(level: .info, format: .text, path: directory.path("log"))
        let asked = Atomic(0)
        log.setFlushRequest { asked.add(1, ordering: .relaxed) }
        for number in 0..<10_000 { log.note(.info, "again", detail: "\(number)") }
        #expect(directory.read("log") == "", "nobody has flushed yet")
        let times = asked.load(ordering: .relaxed)
        // The flood may run from one second into the next ones.
        #expect(times >= ProcessLog.linesPerSecondMax && times <= 4 * ProcessLog.linesPerSecondMax)
        log.flush()
        let count = (directory.read("log") ?? "").split(separator: "\n").count
        #expect(count >= times && count <= times + 4)
        log.note(.info, "long", detail: String(repeating: "x", count: 100_000))
        log.flush()
        #expect((directory.read("log") ?? "").split(separator: "\n").allSatisfy { $0.utf8.count < 5000 })
    }

    @Test("After the file was moved away, a new one is written")
    func reopening() throws {
        let directory = try TemporaryDirectory()
        let log = try ProcessLog(level: .info, format: .text, path: directory.path("log"))
        log.note(.info, "before")
        #expect(rename(directory.path("log"), directory.path("old")) == 0)
        log.reopen()
        log.note(.info, "after")
        #expect(directory.read("old")?.contains("before") == true)
        #expect(directory.read("log")?.contains("after") == true)
    }
}
