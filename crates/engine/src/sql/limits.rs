//! What bounds the work and the memory one file can cost, and the check that keeps expressions shallow.
//!
//! The expression parser builds a tree as deep as a chain of operators is long, and cloning, printing or dropping a tree
//! of some thousand levels overflows the stack, which ends the process. So the depth is computed from the tokens, without
//! recursion, before any tree is built.

use sqlparser::tokenizer::Token as SqlToken;

use super::tokens::Token;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// The largest statement that is read, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;
/// The most statements one file may hold.
pub const MAX_STATEMENTS: usize = 10_000;
/// The deepest an expression may be: operators that wait for each other plus brackets and `CASE`s inside each other. No
/// expression in a [`super::Document`] is a deeper tree than this, so code that walks one may recurse. Prefer borrowing to
/// cloning: in an unoptimised build, cloning the deepest tree takes more than 1 MiB of stack, dropping it next to none.
pub const MAX_EXPRESSION_DEPTH: usize = 256;
/// The most diagnostics reported for one file; after that a last one says that there are more.
pub const MAX_DIAGNOSTICS: usize = 200;
/// How often reading may start again behind a string that seems not to be closed; each time may read the rest of the file.
pub(super) const MAX_RESTARTS: usize = 32;
/// The most characters of the file that a message quotes.
pub(super) const MAX_QUOTED_CHARACTERS: usize = 40;
/// The expression parser's own recursion limit. It is a second line of defence: one level of depth costs it at most a few.
pub(super) const PARSER_RECURSION_LIMIT: usize = 4 * MAX_EXPRESSION_DEPTH;

/// An upper bound of the depth of the tree that an expression of these tokens becomes.
///
/// Operators of one bracket level count until a comma starts the next list item, so that long lists stay shallow. `AND`
/// and `OR` bind loosest, so the operators on their two sides do not add up.
pub(super) fn expression_depth(tokens: &[Token]) -> usize {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    for token in tokens {
        match role(&token.sql.token) {
            Role::Open => outer.push(std::mem::take(&mut level)),
            Role::OpenSubscript => {
                level.operators += 1;
                outer.push(std::mem::take(&mut level));
            }
            Role::OpenCase => {
                outer.push(std::mem::take(&mut level));
                level.is_case = true;
            }
            Role::Close => level = level.closed_into(outer.pop()),
            Role::EndCase if level.is_case => level = level.closed_into(outer.pop()),
            Role::CaseSeparator if level.is_case => level.end_item(),
            Role::Comma => level.end_item(),
            Role::Between => level.between(),
            Role::And => level.and(),
            Role::Or => level.or(),
            Role::Operator => level.operators += 1,
            Role::EndCase | Role::CaseSeparator | Role::Operand => {}
        }
    }
    while !outer.is_empty() {
        level = level.closed_into(outer.pop());
    }
    level.depth()
}

/// The depth found so far between one pair of brackets.
#[derive(Default)]
struct Level {
    is_case: bool,
    /// Operators since the last `AND` or `OR`.
    operators: usize,
    /// The deepest bracket since then.
    child: usize,
    /// `BETWEEN`s whose `AND` has not come yet.
    open_betweens: usize,
    ands: usize,
    deepest_and_side: usize,
    ors: usize,
    deepest_or_side: usize,
    deepest_item: usize,
}

impl Level {
    fn between(&mut self) {
        self.operators += 1;
        self.open_betweens += 1;
    }

    fn and(&mut self) {
        if self.open_betweens > 0 {
            self.open_betweens -= 1;
            self.operators += 1;
            return;
        }
        self.deepest_and_side = self.and_side();
        self.operators = 0;
        self.child = 0;
        self.ands += 1;
    }

    fn or(&mut self) {
        self.deepest_or_side = self.or_side();
        self.operators = 0;
        self.child = 0;
        self.open_betweens = 0;
        self.ands = 0;
        self.deepest_and_side = 0;
        self.ors += 1;
    }

    fn end_item(&mut self) {
        *self = Self { is_case: self.is_case, deepest_item: self.depth(), ..Self::default() };
    }

    fn and_side(&self) -> usize {
        self.deepest_and_side.max(self.operators + self.child)
    }

    fn or_side(&self) -> usize {
        self.deepest_or_side.max(self.ands + self.and_side())
    }

    fn depth(&self) -> usize {
        self.deepest_item.max(self.ors + self.or_side())
    }

    /// Ends this level; the level around it goes on. Brackets that close nothing count as if they had been opened.
    fn closed_into(self, outer: Option<Self>) -> Self {
        let mut outer = outer.unwrap_or_default();
        // Two: the bracket itself, and what stands before it (a function, a subscript, `IN`).
        outer.child = outer.child.max(self.depth() + 2);
        outer
    }
}

enum Role {
    Open,
    OpenSubscript,
    OpenCase,
    Close,
    EndCase,
    CaseSeparator,
    Comma,
    Between,
    And,
    Or,
    Operator,
    Operand,
}

/// Words that can make a tree deeper without a bracket; every other word is an operand.
const OPERATOR_WORDS: [&str; 26] = [
    "NOT", "XOR", "IS", "IN", "LIKE", "ILIKE", "RLIKE", "REGEXP", "SIMILAR", "MATCH", "GLOB", "DIV", "AT", "OVERLAPS",
    "MEMBER", "OPERATOR", "COLLATE", "ESCAPE", "INTERVAL", "PRIOR", "BINARY", "NOTNULL", "ANY", "ALL", "SOME", "ARRAY",
];

fn role(token: &SqlToken) -> Role {
    match token {
        SqlToken::Word(word) if word.quote_style.is_none() => word_role(&word.value),
        SqlToken::LParen | SqlToken::LBrace => Role::Open,
        // A chain as well: `x::INT[][][]`.
        SqlToken::LBracket => Role::OpenSubscript,
        SqlToken::RParen | SqlToken::RBracket | SqlToken::RBrace => Role::Close,
        SqlToken::Comma => Role::Comma,
        SqlToken::Word(_) | SqlToken::Period | SqlToken::Number(..) | SqlToken::SingleQuotedString(_) => Role::Operand,
        _ => Role::Operator,
    }
}

fn word_role(word: &str) -> Role {
    let is = |candidate: &str| word.eq_ignore_ascii_case(candidate);
    if is("AND") {
        Role::And
    } else if is("OR") {
        Role::Or
    } else if is("BETWEEN") {
        Role::Between
    } else if is("CASE") {
        Role::OpenCase
    } else if is("END") {
        Role::EndCase
    } else if is("WHEN") || is("THEN") || is("ELSE") {
        Role::CaseSeparator
    } else if OPERATOR_WORDS.iter().any(|operator| is(operator)) {
        Role::Operator
    } else {
        Role::Operand
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{SourceFile, Span};
    use crate::sql::tokens::tokenize;

    fn depth(text: &str) -> usize {
        let file = SourceFile::new("f", text);
        expression_depth(&tokenize(&file, Span::new(0, text.len())).unwrap())
    }

    #[test]
    fn chains_and_nesting_count_and_lists_do_not() {
        for (text, expected) in [
            ("a", 0),
            ("a + b * c", 2),
            ("((a))", 4),
            ("f(a + 1, b + 2, c + 3)", 3),
            ("NOT NOT - - a", 4),
            ("a = 1 OR a = 2 OR a = 3", 3),
            ("a + b + c AND d", 3),
            ("a BETWEEN 1 AND 2 + 3 AND c", 4),
            ("CASE WHEN a = 1 THEN 2 WHEN a = 3 THEN 4 ELSE 5 END", 3),
            ("a::INT::INT", 2),
            ("(a + b + c) + d", 5),
            ("data.a.b.c", 0),
            ("\"not\" + \"case\"", 1),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_list_is_as_shallow_as_a_short_one() {
        let list = |count: usize| format!("a IN ({})", vec!["-1"; count].join(", "));
        assert_eq!(depth(&list(1)), depth(&list(10_000)));
    }

    #[test]
    fn long_chains_exceed_the_limit() {
        for text in [
            format!("1{}", "+1".repeat(300)),
            format!("{}1", "NOT ".repeat(300)),
            format!("{}1", "- ".repeat(300)),
            format!("a{}", " AND b".repeat(300)),
            format!("{}1{}", "(".repeat(300), ")".repeat(300)),
            format!("{}1{}", "f(".repeat(300), ")".repeat(300)),
            format!("{}1{}", "CASE WHEN ".repeat(300), " THEN 1 END".repeat(300)),
            format!("a{}", "::INT".repeat(300)),
            format!("{}0{}", "a[".repeat(300), "]".repeat(300)),
            format!("a::INT{}", "[]".repeat(300)),
            format!("a{}", " BETWEEN b AND c".repeat(300)),
            format!("{}a BETWEEN b AND {}c", "NOT ".repeat(150), "- ".repeat(150)),
        ] {
            assert!(depth(&text) > MAX_EXPRESSION_DEPTH, "{text}");
        }
    }
}
