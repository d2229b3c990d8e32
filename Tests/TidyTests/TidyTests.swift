// TidyTests: reads the sources as text and checks what neither compiler nor formatter does: what the pure targets
// may not use, leftover markers, over-long functions, names that say nothing, and files that must lie beside others.
// What a finding means stands in docs/ARCHITECTURE.md and docs/GLOSSARY.md.

import Foundation
import TestSupport
import Testing

@Suite("Tidiness")
struct TidyTests {
    /// Longest function, in lines with its signature; a longer one must be in `longFunctions` with its reason.
    static let functionLinesMax = 80

    /// "File.swift: name" of functions that are long because they are one table or one switch.
    static let longFunctions: Set<String> = [
        "FieldName.swift: init"  // a switch over all names by length
    ]

    /// Names that are not ours: Envoy's message, OpenSSL's object.
    static let borrowedNames = ["HTTPConnectionManager", "TLSContext"]

    /// Everything below the control plane: no clock, no chance, no threads of the runtime, no console.
    static let strictFolders = [
        "Sources/System", "Sources/Protocols", "Sources/Policy", "Sources/Model", "Sources/DataPlane",
    ]

    static let forbidden: [(pattern: String, why: String)] = [
        (
            #"\bimport (Foundation\w*|Dispatch|NIO\w*|SwiftProtobuf|Logging|XCTest)\b"#,
            "belongs to the control plane and tools"
        ),
        (#"(?<![.\w])(print|debugPrint|dump)\("#, "the data plane has no console"),
        (#"\bTask(\.detached|\s*[{(<]|\.sleep)"#, "the data plane has no tasks"),
        (#"\b(async|await)\b"#, "the data plane does not suspend"),
        (#"\.random\(in:(?!.*using:)"#, "chance that cannot be replayed: say `using:`"),
        (#"\b(shuffled|randomElement)\(\)"#, "chance that cannot be replayed: say `using:`"),
        (#"\bSystemRandomNumberGenerator\b"#, "chance that cannot be replayed"),
        (#"\b(try|as)!"#, "a trap without a reason: use `guard` or `precondition`"),
    ]

    /// Only the kernel's Linux side may look at the machine's clock, entropy and sockets.
    static let kernelOnly: [(pattern: String, why: String)] = [
        (#"\b(clock_gettime|gettimeofday|ContinuousClock|SuspendingClock)\b"#, "time is an argument"),
        (#"\b(getrandom|getentropy|arc4random\w*)\("#, "randomness comes through the kernel seam"),
        (
            #"\b(epoll_\w+|accept4|recvmsg|sendmsg|socket|setsockopt)\("#,
            "sockets are reached through the kernel seam"
        ),
    ]

    @Test("Pure and data-plane targets use no clock, no chance, no task, no console and no Foundation")
    func pureTargetsStayPure() throws {
        var findings: [String] = []
        for file in try SourceFile.all(under: Self.strictFolders) {
            let rules = file.path.contains("/Linux") ? Self.forbidden : Self.forbidden + Self.kernelOnly
            for rule in rules { findings += file.lines(matching: rule.pattern).map { "\($0): \(rule.why)" } }
        }
        expectNone(findings)
    }

    @Test("No marker of unfinished work is left")
    func noLeftoverMarkers() throws {
        let markers = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].joined(separator: "|")
        let files = try SourceFile.all(
            under: ["Sources", "Tests", "Benchmarks", "Scripts", "docs", "mesh-config"], anyText: true)
        expectNone(files.flatMap { $0.rawLines(matching: #"\b("# + markers + #")\b"#) })
    }

    @Test("No function is longer than a page")
    func functionsFitOnAPage() throws {
        var findings: [String] = []
        for file in try SourceFile.all(under: ["Sources", "Benchmarks"]) where !file.isGenerated {
            for function in file.functions() where function.lines > Self.functionLinesMax {
                let name = "\(file.name): \(function.name)"
                if Self.longFunctions.contains(name) { continue }
                findings.append("\(file.path):\(function.line): \(function.name) has \(function.lines) lines")
            }
        }
        expectNone(findings)
    }

    @Test("Type names say what the thing is")
    func typeNamesSaySomething() throws {
        let empty =
            #"\b(class|struct|enum|actor|protocol) \w*(Manager|Helper|Utils|Utilities|Impl|Base|Context|Handler|Data)\b"#
        let files = try SourceFile.all(under: ["Sources", "Benchmarks"]).filter { !$0.isGenerated }
        let findings = files.flatMap { $0.lines(matching: empty) }
        expectNone(findings.filter { line in !Self.borrowedNames.contains { line.contains(" \($0)") } })
    }

    @Test("Types use the glossary's words, not their forbidden synonyms")
    func glossaryIsFollowed() throws {
        let synonyms = try Glossary.forbiddenSynonyms()
        #expect(!synonyms.isEmpty, "docs/GLOSSARY.md has a column of words to avoid")
        let files = try SourceFile.all(under: ["Sources", "Benchmarks"]).filter { !$0.isGenerated }
        for synonym in synonyms {
            let pattern = #"\b(class|struct|enum|actor|protocol) \w*(?i:"# + synonym + #")(?![a-z])"#
            expectNone(
                files.flatMap { $0.lines(matching: pattern) }.map { "\($0): see \(synonym) in the glossary" })
        }
    }

    @Test("Every target opens with a paragraph in the file of its name")
    func targetsIntroduceThemselves() throws {
        var findings: [String] = []
        for folder in try SourceFile.targetFolders() {
            let target = folder.lastPathComponent
            let candidates = ["\(target).swift", "main.swift"].map { folder.appendingPathComponent($0) }
            let text = candidates.lazy.compactMap { try? String(contentsOf: $0, encoding: .utf8) }.first
            if let text, !text.hasPrefix("// \(target): ") || text.hasPrefix("// \(target): to come") {
                findings.append(
                    "\(target)/\(target).swift does not begin with \"// \(target): \" and what it does")
            } else if text == nil {
                findings.append("\(target)/\(target).swift is missing")
            }
        }
        expectNone(findings)
    }

    @Test("A file is named after a type or extension that it declares")
    func filesAreNamedAfterTypes() throws {
        var findings: [String] = []
        for file in try SourceFile.all(under: ["Sources"]) where !file.isGenerated {
            let name = String(file.name.dropLast(".swift".count))
            if name == "main" || file.folderName == name || name.contains("+") { continue }
            let declares =
                #"\b(class|struct|enum|actor|protocol|typealias|extension) (\w+\.)*"# + name + #"\b"#
            if file.lines(matching: declares).isEmpty { findings.append("\(file.path) declares no \(name)") }
        }
        expectNone(findings)
    }

    @Test("Every configuration that must be refused has its message beside it")
    func invalidConfigurationsHaveMessages() throws {
        let folder = repositoryRoot.appendingPathComponent("mesh-config/invalid")
        let cases =
            (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        for directory in cases where directory.hasDirectoryPath {
            let expected = try? String(
                contentsOf: directory.appendingPathComponent("expected.txt"), encoding: .utf8)
            #expect(
                expected?.isEmpty == false, "\(directory.lastPathComponent)/expected.txt holds the message")
        }
    }

    @Test("No file speaks of the machine on which it was written")
    func noLocalPaths() throws {
        let roots = ["/wo" + "rk/", "/ro" + "ot/"].map(NSRegularExpression.escapedPattern).joined(
            separator: "|")
        let folders = [
            "Sources", "Tests", "Benchmarks", "Scripts", "docs", "mesh-config", ".ci", "Makefile",
            "README.md",
            "CHANGELOG.md", "Package.swift",
        ]
        let files = try SourceFile.all(under: folders, anyText: true)
        expectNone(files.flatMap { $0.rawLines(matching: #"(?<![\w.])("# + roots + ")") })
    }

    private func expectNone(_ findings: [String], sourceLocation: SourceLocation = #_sourceLocation) {
        guard !findings.isEmpty else { return }
        Issue.record(
            "\(findings.count) findings:\n\(findings.joined(separator: "\n"))", sourceLocation: sourceLocation
        )
    }
}

/// The vocabulary of docs/GLOSSARY.md.
enum Glossary {
    /// Words of the table's last column, which stands for "do not say".
    static func forbiddenSynonyms() throws -> [String] {
        let url = repositoryRoot.appendingPathComponent("docs/GLOSSARY.md")
        var words: [String] = []
        for line in try String(contentsOf: url, encoding: .utf8).split(separator: "\n")
        where line.hasPrefix("| ") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 3, cells[0] != "word", !cells[0].hasPrefix("--") else { continue }
            words += cells[2].split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        return words.filter { !$0.isEmpty && $0 != "–" && !$0.contains(" ") }
    }
}
