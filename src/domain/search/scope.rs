//! What a member may search: their own orders, by what they are shown of them.

use super::{Expr, TextField, TextTerm};
use crate::domain::ids::MemberId;

impl Expr {
    /// The same among one member's own orders, whatever it says: the member stands outside, where nothing widens it.
    /// What only the shop sees of an order, its remark and its mark, is not looked at: a condition on it holds for no
    /// order.
    #[must_use]
    pub fn of_member(self, member: MemberId) -> Self {
        let nothing = || Self::Or(Vec::new());
        let shown = self.map(&mut |leaf| match leaf {
            Self::Flag(_) => nothing(),
            Self::Text(TextTerm { field: Some(TextField::Note), .. }) => nothing(),
            Self::Text(TextTerm { field: None, text, kind }) => {
                let fields = TextField::ALL.into_iter().filter(|field| *field != TextField::Note);
                let within = |field| Self::Text(TextTerm { field: Some(field), text: text.clone(), kind });
                Self::Or(fields.map(within).collect())
            }
            other => other,
        });
        Self::And(vec![Self::Member(member), shown])
    }
}
