import Glibc
import MeshPrimitives
import Reactor
import Testing

@Suite("Files") struct FileSystemTests {
    /// A folder of its own for each test, removed with what the test says that it left there.
    private func withFolder(leaving names: [String], _ body: (String) throws -> Void) throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        let folder = "\(base)/martlet-files-\(LinuxKernel.make().randomSeed())"
        try FileSystem.makeDirectory(folder, mode: 0o700)
        defer {
            for name in names { try? FileSystem.remove("\(folder)/\(name)") }
            rmdir(folder)
        }
        try body(folder)
    }

    @Test("What was written is read back, with its mode")
    func roundTrip() throws {
        try withFolder(leaving: ["file"]) { folder in
            let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
            try FileSystem.writeAtomically("\(folder)/file", bytes, mode: 0o640)
            #expect(try FileSystem.read("\(folder)/file", bytesMax: 200_000) == bytes)
            #expect(try FileSystem.identity(of: "\(folder)/file").size == 200_000)
            var status = stat()
            #expect(stat("\(folder)/file", &status) == 0)
            #expect(status.st_mode & 0o777 == 0o640)
        }
    }

    @Test("A larger file than asked for is refused, and so is one that is not there")
    func refusals() throws {
        try withFolder(leaving: ["file"]) { folder in
            let path = "\(folder)/file"
            try FileSystem.writeAtomically(path, [1, 2, 3])
            #expect(throws: FileError(path: path, problem: .larger(thanBytes: 2))) {
                try FileSystem.read(path, bytesMax: 2)
            }
            #expect(throws: FileError(path: "\(folder)/none", problem: .system(.noSuchFile))) {
                try FileSystem.read("\(folder)/none", bytesMax: 2)
            }
            let error = FileError(path: "x", problem: .system(.noSuchFile))
            #expect("\(error)" == "x: No such file or directory")
        }
    }

    @Test("A failed write leaves nothing behind, and names the path that was asked for")
    func failedWrite() throws {
        try withFolder(leaving: []) { folder in
            let path = "\(folder)/none/file"
            #expect(throws: FileError(path: path, problem: .system(.noSuchFile))) {
                try FileSystem.writeAtomically(path, [1])
            }
        }
    }

    @Test("A folder may be there already, a file in its place may not")
    func folders() throws {
        try withFolder(leaving: ["file"]) { folder in
            try FileSystem.makeDirectory(folder, mode: 0o700)
            try FileSystem.writeAtomically("\(folder)/file", [])
            #expect(throws: FileError(path: "\(folder)/file", problem: .system(.fileExists))) {
                try FileSystem.makeDirectory("\(folder)/file", mode: 0o700)
            }
        }
    }

    @Test("A log file that was moved away is followed until it is reopened")
    func logFile() throws {
        try withFolder(leaving: ["log", "log.1"]) { folder in
            var log = try LogFile("\(folder)/log")
            try log.append(ByteView("one\n"))
            rename("\(folder)/log", "\(folder)/log.1")
            try log.append(ByteView("two\n"))
            try log.reopen()
            try log.append(ByteView("three\n"))
            #expect(try FileSystem.read("\(folder)/log.1", bytesMax: 100) == Array("one\ntwo\n".utf8))
            #expect(try FileSystem.read("\(folder)/log", bytesMax: 100) == Array("three\n".utf8))
        }
    }

    @Test("A watched file changes once for each replacement, and not while it is missing")
    func watchedFile() throws {
        try withFolder(leaving: ["file"]) { folder in
            var watched = WatchedFile("\(folder)/file")
            expectEqual(watched.hasChanged(), false)
            try FileSystem.writeAtomically("\(folder)/file", [1])
            expectEqual(watched.hasChanged(), true)
            expectEqual(watched.hasChanged(), false)
            try FileSystem.remove("\(folder)/file")
            expectEqual(watched.hasChanged(), false)
            try FileSystem.writeAtomically("\(folder)/file", [1])
            expectEqual(watched.hasChanged(), true)
        }
    }
}
