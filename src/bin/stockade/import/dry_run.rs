//! The dry run: reads the files as an import would, and plays it through on counts alone. No directory is opened.

use std::collections::HashMap;

use stockade::domain::stock::STOCK_TOTAL_MAX;
use stockade::{ImportOutcome, ImportedOrder, Reject, Sku};

use super::rows::{LimitRow, StockRow};
use super::source::{Located, SourceError};
use super::summary::{Kind, Refusal, Summary, Sums};
use super::{Args, Files};

/// Rows between two looks at the clock for the progress.
const PROGRESS_ROWS: u64 = 4_096;

/// What the files have said so far. Takes about 50 bytes for each order, to find numbers that come twice.
struct Play<'s> {
    summary: &'s mut Summary,
    is_strict: bool,
    now_ms: u64,
    skus: HashMap<u64, Sku>,
    /// Total and what is available of it, by SKU; `None` where no stock file says so.
    stock: Option<HashMap<u64, (u64, u64)>>,
    /// Member and body of each order, by request.
    orders: HashMap<u128, (u64, u64)>,
    limits: HashMap<(u64, u64), u32>,
}

/// Plays an import through.
pub(super) fn run(args: &Args, files: Files, summary: &mut Summary) -> Result<(), SourceError> {
    let now_ms = summary.now_ms();
    let mut play = Play {
        summary,
        is_strict: args.strict,
        now_ms,
        skus: HashMap::new(),
        stock: files.stock.is_some().then(HashMap::new),
        orders: HashMap::new(),
        limits: HashMap::new(),
    };
    let Files { catalogue, stock, orders, limits } = files;
    play.all(Kind::Catalogue, Some(catalogue), |play, sku| (Sums::default(), play.sku(sku)))?;
    play.all(Kind::Stock, stock, |play, row| (Sums::default(), play.stock(row)))?;
    play.all(Kind::Orders, orders, |play, order| (Sums::of(&order), play.order(&order)))?;
    play.all(Kind::Limits, limits, |play, row| (Sums::default(), play.limit(row)))
}

type Played = Result<ImportOutcome, Refusal>;

impl Play<'_> {
    fn all<T>(
        &mut self,
        kind: Kind,
        file: Option<super::Named<T>>,
        play: impl Fn(&mut Self, T) -> (Sums, Played),
    ) -> Result<(), SourceError> {
        let Some(mut file) = file else { return Ok(()) };
        self.summary.begin(&file.path);
        let mut rows = 0_u64;
        while !(self.is_strict && self.summary.has_problems()) {
            let next = file.rows.next_row();
            let next = next.map_err(|source| SourceError { path: file.path.clone(), source })?;
            let Some(Located { line, row }) = next else { break };
            let (sums, result) = match row {
                Ok(row) => play(self, row),
                Err(what) => (Sums::default(), Err(Refusal::Malformed(what))),
            };
            self.summary.note(kind, line, sums, result);
            rows += 1;
            if rows.is_multiple_of(PROGRESS_ROWS) {
                self.summary.progress(kind);
            }
        }
        Ok(())
    }

    fn sku(&mut self, sku: Sku) -> Played {
        sku.validate().map_err(Refusal::Reject)?;
        let id = sku.id.0;
        if self.skus.get(&id) == Some(&sku) {
            return Ok(ImportOutcome::Unchanged);
        }
        self.skus.insert(id, sku);
        Ok(ImportOutcome::Imported)
    }

    fn check_sku(&self, sku: u64) -> Result<(), Refusal> {
        if self.skus.contains_key(&sku) {
            return Ok(());
        }
        Err(Refusal::Reject(Reject::UnknownSku { sku: sku.into() }))
    }

    fn stock(&mut self, row: StockRow) -> Played {
        let StockRow { sku, total } = row;
        self.check_sku(sku.0)?;
        if total.0 > STOCK_TOTAL_MAX {
            return Err(Refusal::Reject(Reject::StockOverflow { total_max: STOCK_TOTAL_MAX }));
        }
        let Some(stock) = &mut self.stock else { return Ok(ImportOutcome::Imported) };
        match stock.get(&sku.0) {
            Some((known, _)) if *known == total.0 => Ok(ImportOutcome::Unchanged),
            Some(_) => Err(Refusal::Reject(Reject::AdjustmentIdReused)),
            None => {
                stock.insert(sku.0, (total.0, total.0));
                Ok(ImportOutcome::Imported)
            }
        }
    }

    fn order(&mut self, order: &ImportedOrder) -> Played {
        let priced = order.priced().map_err(Refusal::Reject)?;
        let body = (order.member_id.0, order.body_hash(&priced));
        let request = order.request_id().get();
        match self.orders.get(&request) {
            Some(known) if *known == body => return Ok(ImportOutcome::Unchanged),
            Some((member, _)) if *member == body.0 => {
                return Err(Refusal::Reject(Reject::RequestIdReused));
            }
            Some(_) => return Err(Refusal::Reject(Reject::ExternalNoTaken)),
            None => {}
        }
        for line in priced.lines.iter() {
            self.check_sku(line.key.sku.0)?;
        }
        order.check_deadline(self.now_ms).map_err(Refusal::Reject)?;
        if let Some(stock) = &mut self.stock {
            // R2: all lines or none.
            let short = priced.lines.iter().find(|line| {
                stock.get(&line.key.sku.0).is_none_or(|(_, available)| *available < u64::from(line.quantity))
            });
            if let Some(line) = short {
                return Err(Refusal::Reject(Reject::SoldOut { sku: line.key.sku }));
            }
            for line in priced.lines.iter() {
                if let Some((_, available)) = stock.get_mut(&line.key.sku.0) {
                    *available -= u64::from(line.quantity);
                }
            }
        }
        self.orders.insert(request, body);
        Ok(ImportOutcome::Imported)
    }

    fn limit(&mut self, row: LimitRow) -> Played {
        let used = row.used;
        self.check_sku(row.sku.0)?;
        let known = self.limits.insert((row.member_id.0, row.sku.0), used).unwrap_or(0);
        Ok(if known == used { ImportOutcome::Unchanged } else { ImportOutcome::Imported })
    }
}
