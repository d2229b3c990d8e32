import HTTPModel

/// A decoded head that waits in a `HeadAssembler`: everything of its `MessageHead` but the fields' index.
struct HeadRecord: BitwiseCopyable {
    var bytesStart = 0
    var length = 0
    var fieldsFrom = 0
    var fieldCount = 0
    var startLineLength = 0
    var method = Method.other
    var methodToken = ByteRange.empty
    var target = ByteRange.empty
    var path = ByteRange.empty
    var authority = ByteRange.empty
    var status = 0
    var contentLength: Int64?
    var expectsContinue = false
    var hasUpgrade = false
    var acceptsTrailers = false
    /// Set by the session, which knows the stream.
    var body = BodyLength.none
}
