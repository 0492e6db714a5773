//! How large an expression may be that comes from a program: one that a query's text says is always smaller.

use super::Expr;
use crate::domain::reject::Reject;

/// Most parts of an expression, those that combine others included.
pub const EXPR_LEN_MAX: usize = 1_024;
/// How deep parts may stand in one another.
pub const EXPR_DEPTH_MAX: usize = 24;

impl Expr {
    /// Checks its size, before anything goes through it part by part.
    ///
    /// # Errors
    /// [`Reject::SearchTooBroad`].
    pub fn check(&self) -> Result<(), Reject> {
        let mut len = 0;
        // By hand and not by calls: what is too deep must not end the program.
        let mut open = vec![(self, 1)];
        while let Some((part, depth)) = open.pop() {
            len += 1;
            if len > EXPR_LEN_MAX || depth > EXPR_DEPTH_MAX {
                return Err(Reject::SearchTooBroad { what: "too many conditions" });
            }
            match part {
                Self::And(parts) | Self::Or(parts) => {
                    if parts.len() > EXPR_LEN_MAX {
                        return Err(Reject::SearchTooBroad { what: "too many conditions" });
                    }
                    open.extend(parts.iter().map(|part| (part, depth + 1)));
                }
                Self::Not(part) => open.push((part, depth + 1)),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_beyond_its_bounds_is_refused() {
        let deep = |depth: usize| (1..depth).fold(Expr::All, |part, _| Expr::Not(Box::new(part)));
        assert_eq!(deep(EXPR_DEPTH_MAX).check(), Ok(()));
        assert!(matches!(deep(EXPR_DEPTH_MAX + 1).check(), Err(Reject::SearchTooBroad { .. })));
        let wide = |len: usize| Expr::Or(vec![Expr::All; len - 1]);
        assert_eq!(wide(EXPR_LEN_MAX).check(), Ok(()));
        assert!(matches!(wide(EXPR_LEN_MAX + 1).check(), Err(Reject::SearchTooBroad { .. })));
    }
}
