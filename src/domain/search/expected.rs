//! What a query's text could have said where it can't be read, in English and Chinese. None of it repeats the query, which
//! may hold personal data.

macro_rules! expected {
    ($($name:ident = $english:literal, $chinese:literal;)*) => {
        $(pub(super) const $name: &str = $english;)*

        /// All of them, English and Chinese.
        pub(crate) const EXPECTED: &[(&str, &str)] = &[$(($english, $chinese)),*];
    };
}

expected! {
    TERM = "a word, a \"phrase\", or field:value", "关键词、“短语”或 字段:值";
    SHORTER = "at most 1,024 bytes", "最多 1024 字节";
    FEWER_TERMS = "at most 64 terms", "最多 64 个条件";
    LESS_DEEP = "at most 8 levels of parentheses and negations", "括号与否定最多嵌套 8 层";
    FEWER_PREFIXES = "at most 4 words with a *", "带 * 的词最多 4 个";
    CLOSED = "a closing parenthesis", "右括号";
    OPENED = "no closing parenthesis, as none is open", "此处没有对应的左括号";
    QUOTE = "a closing quote for this one", "与此引号配对的右引号";
    NEGATED = "what is not wanted, right behind the -", "减号后紧跟要排除的条件";
    LETTERS = "letters or digits to look for", "要查找的文字或数字";
    LONGER_PREFIX = "at least 2 letters or digits before the *, and nothing else", "* 前至少 2 个文字或数字，且不含符号";
    TRAILING = "a * only at the end of a word", "* 只能放在词尾";
    NO_PREFIX = "a whole value: a * is not possible here", "完整的值，此处不能使用 *";
    ESCAPED = "a character behind the \\", "反斜杠后要有一个字符";
    FIELD = "a field before the colon: order, external, member, status, type, sku, product, activity, team, flag, refund, \
             payment, created, paid, amount, title, receiver, phone, address, remark or note",
        "冒号前的字段名：order、external、member、status、type、sku、product、activity、team、flag、refund、payment、created、\
             paid、amount、title、receiver、phone、address、remark 或 note";
    NO_FIELD = "words alone within the parentheses of a field", "字段括号内只能是关键词";
    VALUE = "a value right behind the colon", "冒号后紧跟取值";
    LISTED = "another value behind the comma", "逗号后的另一个值";
    NUMBER = "a whole number", "整数";
    ORDER_NO = "an order number", "订单号";
    STATUS = "pending, paid, partially_shipped, shipped, completed or cancelled",
        "pending、paid、partially_shipped、shipped、completed 或 cancelled";
    TYPE = "normal, seckill or group_buy", "normal、seckill 或 group_buy";
    FLAG = "a mark from 0 to 9", "0 至 9 的标记";
    REFUND = "open or none", "open 或 none";
    PAYMENT = "started", "started";
    PHONE = "the end of a phone number, at least 4 digits", "电话号码的末尾，至少 4 位数字";
    INSTANT = "a date, an instant like 2026-11-11T08:00:00+08:00, today, yesterday, -7d, -24h, -30m, or ms since 1970",
        "日期、时间（如 2026-11-11T08:00:00+08:00）、today、yesterday、-7d、-24h、-30m 或 1970 年以来的毫秒数";
    AMOUNT = "an amount in minor units, as a whole number", "以分为单位的整数金额";
    FORWARD = "a range that ends where it begins or later", "结束不早于开始的范围";
}

/// The Chinese form of one of them.
pub(crate) fn chinese(english: &str) -> Option<&'static str> {
    EXPECTED.iter().find(|(known, _)| *known == english).map(|(_, chinese)| *chinese)
}
