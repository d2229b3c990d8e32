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

    /// Names that are not ours: Envoy's message, OpenSSL's object, the W3C's and Zipkin's headers, swift-log's protocol.
    static let borrowedNames = [
        "HTTPConnectionManager", "TLSContext", "TraceContext", "B3Context", "LineLogHandler",
    ]

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
    func pureTargetsStayPure() {
        var findings: [String] = []
        for file in SourceFile.all(under: Self.strictFolders) {
            let rules = file.path.contains("/Linux") ? Self.forbidden : Self.forbidden + Self.kernelOnly
            for rule in rules { findings += file.lines(matching: rule.pattern).map { "\($0): \(rule.why)" } }
        }
        expectNone(findings)
    }

    @Test("No marker of unfinished work is left")
    func noLeftoverMarkers() {
        let markers = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].joined(separator: "|")
        let files = SourceFile.allTexts
        expectNone(files.flatMap { $0.rawLines(matching: #"\b("# + markers + #")\b"#) })
    }

    @Test("No function is longer than a page")
    func functionsFitOnAPage() {
        var findings: [String] = []
        for file in SourceFile.all(under: ["Sources", "Benchmarks"]) where !file.isGenerated {
            for function in file.functions() where function.lines > Self.functionLinesMax {
                let name = "\(file.name): \(function.name)"
                if Self.longFunctions.contains(name) { continue }
                findings.append("\(file.path):\(function.line): \(function.name) has \(function.lines) lines")
            }
        }
        expectNone(findings)
    }

    @Test("Type names say what the thing is")
    func typeNamesSaySomething() {
        let empty =
            #"\b(class|struct|enum|actor|protocol) \w*(Manager|Helper|Utils|Utilities|Impl|Base|Context|Handler|Data)\b"#
        let files = SourceFile.all(under: ["Sources", "Benchmarks"]).filter { !$0.isGenerated }
        let findings = files.flatMap { $0.lines(matching: empty) }
        expectNone(findings.filter { line in !Self.borrowedNames.contains { line.contains(" \($0)") } })
    }

    @Test("Types use the glossary's words, not their forbidden synonyms")
    func glossaryIsFollowed() throws {
        let synonyms = try Glossary.forbiddenSynonyms()
        #expect(!synonyms.isEmpty, "docs/GLOSSARY.md has a column of words to avoid")
        let files = SourceFile.all(under: ["Sources", "Benchmarks"]).filter { !$0.isGenerated }
        for synonym in synonyms {
            let pattern = #"\b(class|struct|enum|actor|protocol) \w*(?i:"# + synonym + #")(?![a-z])"#
            expectNone(
                files.flatMap { $0.lines(matching: pattern) }.map { "\($0): see \(synonym) in the glossary" })
        }
    }

    @Test("Every target has a file that opens with a paragraph about it")
    func targetsIntroduceThemselves() throws {
        var findings: [String] = []
        for folder in SourceFile.targetFolders() {
            let target = folder.lastPathComponent
            let files = try FileManager.default.contentsOfDirectory(
                at: folder, includingPropertiesForKeys: nil)
            let texts = files.compactMap { try? String(contentsOf: $0, encoding: .utf8) }
            let opening = texts.first { $0.hasPrefix("// \(target): ") }
            if opening?.hasPrefix("// \(target): to come") != false {
                findings.append("no file in \(target) begins with \"// \(target): \" and what it does")
            }
        }
        expectNone(findings)
    }

    @Test("A file that declares one type is named after it")
    func filesAreNamedAfterTypes() {
        var findings: [String] = []
        for file in SourceFile.all(under: ["Sources"]) where !file.isGenerated {
            let name = String(file.name.dropLast(".swift".count))
            let types = file.topLevelTypes
            // Extensions, free functions, and what belongs to them, may be named after their matter.
            let isOneType = types.count == 1 && file.lines(matching: #"^(extension|(\w+ )?func)\b"#).isEmpty
            if name == "main" || file.folderName == name || !isOneType { continue }
            let stem = name.hasSuffix("s") ? String(name.dropLast()) : name
            if types.contains(where: { $0.contains(stem) || name.hasPrefix($0) }) { continue }
            findings.append("\(file.path) declares \(types.joined(separator: ", "))")
        }
        expectNone(findings)
    }

    @Test("Every configuration that must be refused has its message beside it")
    func invalidConfigurationsHaveMessages() {
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
    func noLocalPaths() {
        let roots = ["/wo" + "rk/", "/ro" + "ot/"].map(NSRegularExpression.escapedPattern).joined(
            separator: "|")
        let files = SourceFile.allTexts
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
