import Glibc
import MeshPrimitives
import Reactor
import XDSDiscovery
import XDSSchema

/// A bootstrap from `-c` and `--config-yaml`.
struct FileBootstrap {
    let bootstrap: Bootstrap
    let surroundings: ConfigSurroundings
    let texts: Texts

    /// What was read, as it was: a message of ten thousand clusters takes many times the memory of its text, and is
    /// wanted again only to be shown.
    final class Texts {
        fileprivate struct Text {
            var bytes: Bytes
            var name: String
        }

        fileprivate enum Bytes {
            case plain([UInt8])
            case compact(CompactBytes)

            var all: [UInt8] {
                switch self {
                case .plain(let bytes): bytes
                case .compact(let compact): compact.bytes
                }
            }
        }

        fileprivate var texts: [Text] = []
        /// Until the start is over: to free it takes as long as to check it.
        fileprivate var message: ConfigMessage?
        fileprivate let options: ProxyOptions

        fileprivate init(_ options: ProxyOptions) { self.options = options }

        /// The start is over: from now on they take less room.
        func compact() {
            message = nil
            for index in texts.indices {
                if case .plain(let bytes) = texts[index].bytes {
                    texts[index].bytes = .compact(CompactBytes(bytes))
                }
            }
        }

        /// As it is in force: merged, and with what the command line says of the node. nil if a problem was added.
        func message(_ problems: inout ConfigProblems, sharesRepeats: Bool = false) -> ConfigMessage? {
            var message: ConfigMessage?
            for text in texts {
                guard
                    let read = FileBootstrap.text(
                        text.bytes.all, named: text.name, sharesRepeats: sharesRepeats, &problems)
                else {
                    return nil
                }
                if message == nil { message = read } else { message?.merge(read) }
            }
            var whole = message ?? ConfigMessage(XDS.Bootstrap.messageType)
            FileBootstrap.setNode(options, &whole)
            return whole
        }
    }

    /// Bytes of a bootstrap, and of each file that it names.
    static let bytesMax = 16 << 20

    /// What a start takes in all, as a multiple of its bootstrap's text: messages, what they mean, and the snapshot.
    private static let memoryFactor = 8

    /// nil if a problem was added.
    static func read(_ options: ProxyOptions, problems: inout ConfigProblems) -> FileBootstrap? {
        let texts = Texts(options)
        if let path = options.configPath {
            switch contents(path) {
            case .success(let bytes):
                SpareMemory.makeReady(bytes.count * memoryFactor)
                texts.texts.append(.init(bytes: .plain(bytes), name: path))
            case .failure(let problem):
                problems.add(ConfigProblem(file: path, path: "", text: problem.text))
                return nil
            }
        }
        if let yaml = options.configYAML {
            texts.texts.append(.init(bytes: .plain(Array(yaml.utf8)), name: "--config-yaml"))
        }
        let surroundings = surroundings
        // What is shared has lost its position: whatever is wrong is looked for once more, to say where.
        for sharesRepeats in [true, false] {
            var found = problems
            if let message = texts.message(&found, sharesRepeats: sharesRepeats),
                let bootstrap = Bootstrap.compile(message, surroundings: surroundings, problems: &found)
            {
                problems = found
                texts.message = message
                return FileBootstrap(bootstrap: bootstrap, surroundings: surroundings, texts: texts)
            }
            if !sharesRepeats { problems = found }
        }
        return nil
    }

    fileprivate static func text(
        _ bytes: [UInt8], named name: String, sharesRepeats: Bool, _ problems: inout ConfigProblems
    ) -> ConfigMessage? {
        TextReader.read(
            bytes, as: XDS.Bootstrap.messageType, file: name, sharesRepeats: sharesRepeats,
            problems: &problems)
    }

    fileprivate static func setNode(_ options: ProxyOptions, _ message: inout ConfigMessage) {
        guard options.serviceNode ?? options.serviceCluster ?? options.serviceZone != nil else { return }
        var node = message.message(XDS.Bootstrap.node) ?? ConfigMessage(XDS.Node.messageType)
        if let id = options.serviceNode { node.set(XDS.Node.id, .text(id)) }
        if let cluster = options.serviceCluster { node.set(XDS.Node.cluster, .text(cluster)) }
        if let zone = options.serviceZone {
            var locality = node.message(XDS.Node.locality) ?? ConfigMessage(XDS.Locality.messageType)
            locality.set(XDS.Locality.zone, .text(zone))
            node.set(XDS.Node.locality, .message(locality))
        }
        message.set(XDS.Bootstrap.node, .message(node))
    }

    /// The machine's files and environment.
    static var surroundings: ConfigSurroundings {
        ConfigSurroundings(readFile: { contents($0) }, environment: environment)
    }

    @Sendable static func environment(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    static func contents(_ path: String) -> Result<[UInt8], ConfigSurroundings.FileProblem> {
        do throws(FileError) {
            return .success(try FileSystem.read(path, bytesMax: bytesMax))
        } catch {
            switch error.problem {
            case .system(let code): return .failure(.init("cannot be read: \(code)"))
            case .larger(let max): return .failure(.init("has more than \(max) bytes"))
            }
        }
    }
}
